//! Values that all sandboxes with Python share. `sandboxes/python/lists.json` has the same values, and tests compare
//! both sides with it.

/// The home folder: the working directory of programs.
pub const HOME: &str = "/home/user";
/// Folders that belong to a program, with everything below them.
pub const OWN_FOLDERS: [&str; 2] = [HOME, "/tmp"];
/// Names of the exceptions that Python and numpy raise when memory is exhausted.
pub const MEMORY_ERRORS: [&str; 2] = ["MemoryError", "_ArrayMemoryError"];
