//! Lists that both Rust and the Python of the sandboxes have.

use switchtower_contract::python;

#[test]
fn paths_and_memory_errors_are_those_of_the_python_of_the_sandboxes() {
    let lists: serde_json::Value = serde_json::from_str(include_str!("../sandboxes/python/lists.json")).unwrap();
    assert_eq!(lists["home"], python::HOME);
    assert_eq!(lists["own_folders"], serde_json::json!(python::OWN_FOLDERS));
    assert_eq!(lists["memory_errors"], serde_json::json!(python::MEMORY_ERRORS));
}
