//! What all sandboxes with Python have in common. `sandboxes/python/lists.json` has the same values, and tests hold both
//! sides against it.

/// The home folder: the working directory of programs.
pub const HOME: &str = "/home/user";
/// Folders that are a program's own, with what is below them.
pub const OWN_FOLDERS: [&str; 2] = [HOME, "/tmp"];
/// Names of the exceptions by which Python and numpy say that memory is used up.
pub const MEMORY_ERRORS: [&str; 2] = ["MemoryError", "_ArrayMemoryError"];
