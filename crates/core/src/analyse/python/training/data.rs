//! The sizes of data that a program does not create itself: the sample data of libraries, and the files of its request.

use switchtower_contract::File;
use switchtower_contract::python::HOME;

use crate::analyse::python::arrays::Shape;

/// The size of most samples of statsmodels.
const STATSMODELS_SAMPLE: (f64, f64) = (1000.0, 10.0);
/// Bytes of an element in a compressed, binary or nested table.
const BYTES_OF_ELEMENT: f64 = 4.0;
/// Columns of a table of which only the size of its file is known.
const COLUMNS: f64 = 10.0;
/// Mean bytes of a line from which on a text is no table with a row a line.
const LONGEST_ROW: usize = 10_000;

/// Returns the size of a library's sample data.
pub(super) fn sample(path: &[&str]) -> Option<Shape> {
    let (rows, columns) = match path {
        ["sklearn", "datasets", loader, ..] => match *loader {
            "load_iris" => (150.0, 4.0),
            "load_digits" => (1797.0, 64.0),
            "load_wine" => (178.0, 13.0),
            "load_breast_cancer" => (569.0, 30.0),
            "load_diabetes" => (442.0, 10.0),
            "load_linnerud" => (20.0, 3.0),
            "fetch_california_housing" => (20_640.0, 8.0),
            "fetch_olivetti_faces" => (400.0, 4096.0),
            "fetch_lfw_people" => (13_233.0, 2914.0),
            "fetch_covtype" => (581_012.0, 54.0),
            "fetch_kddcup99" => (494_021.0, 41.0),
            // Texts with about a hundred words each.
            "fetch_20newsgroups" | "fetch_20newsgroups_vectorized" => (11_314.0, 100.0),
            _ => return None,
        },
        ["statsmodels", .., "datasets", _, "load" | "load_pandas"] | ["statsmodels", .., "get_rdataset"] => {
            STATSMODELS_SAMPLE
        }
        ["seaborn", "load_dataset", ..] => (1000.0, 10.0),
        ["keras" | "tensorflow", .., "mnist" | "fashion_mnist", "load_data"] => (60_000.0, 784.0),
        ["keras" | "tensorflow", .., "cifar10" | "cifar100", "load_data"] => (50_000.0, 3072.0),
        ["torchvision", "datasets", "MNIST" | "FashionMNIST" | "KMNIST", ..] => (60_000.0, 784.0),
        ["torchvision", "datasets", "CIFAR10" | "CIFAR100", ..] => (50_000.0, 3072.0),
        _ => return None,
    };
    Some(Shape::new(rows, columns))
}

/// Returns the size of the table in the file at this path, or where the path is not known or is that of no file, of the
/// largest file. `None` without files.
pub(super) fn table(path: Option<&str>, files: &[File]) -> Option<Shape> {
    let name = |path: &str| path.trim_start_matches("./").trim_start_matches(HOME).trim_start_matches('/').to_owned();
    let named = path.and_then(|path| files.iter().find(|file| name(&file.path) == name(path)));
    let file = named.or_else(|| files.iter().max_by_key(|file| file.content.len()))?;
    let by_size = Shape::new((file.content.len() as f64 / BYTES_OF_ELEMENT / COLUMNS).ceil(), COLUMNS);
    let head = &file.content[..file.content.len().min(4096)];
    if head.contains(&0) || std::str::from_utf8(head).is_err_and(|error| error.error_len().is_some()) {
        return Some(by_size);
    }
    let rows = file.content.iter().filter(|byte| **byte == b'\n').count() + 1;
    if file.content.len() / rows > LONGEST_ROW {
        return Some(by_size);
    }
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let columns = line.iter().filter(|byte| matches!(byte, b',' | b';' | b'\t')).count() + 1;
    Some(Shape::new(rows as f64, columns as f64))
}
