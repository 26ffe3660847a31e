//! The layers of isolation of a container.

use switchtower_jail::Layer;

/// Returns a layer of isolation or a limit with its status.
pub(crate) fn layer(name: &str, status: Result<(), impl ToString>) -> Layer {
    Layer { name: name.to_owned(), status: status.map_err(|why| why.to_string()) }
}

/// Returns a layer that is in force.
pub(crate) fn in_force(name: &str) -> Layer {
    Layer { name: name.to_owned(), status: Ok(()) }
}
