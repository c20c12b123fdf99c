//! PyTorch's fixtures: case files with inputs, weights and answers.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

/// A file or folder of `tests/fixtures`.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

/// One case file.
pub struct Fixture {
    pub name: String,
    pub case: serde_json::Value,
    bytes: Vec<u8>,
}

/// All case files of a folder whose names begin so.
pub fn all(prefix: &str) -> Vec<Fixture> {
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(path("pytorch")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let fixtures = names.into_iter().filter_map(|path| {
        let name = path.file_stem()?.to_str()?.to_owned();
        name.starts_with(prefix).then(|| {
            let bytes = std::fs::read(&path).unwrap();
            let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
            let case = metadata.metadata().as_ref().unwrap()["case"].clone();
            Fixture { name, case: serde_json::from_str(&case).unwrap(), bytes }
        })
    });
    let fixtures: Vec<Fixture> = fixtures.collect();
    assert!(!fixtures.is_empty(), "no cases {prefix}*");
    fixtures
}

impl Fixture {
    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).unwrap()
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors().tensor(name).is_ok()
    }

    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.tensors().tensor(name).unwrap_or_else(|_| panic!("{}: {name}", self.name)).shape().to_vec()
    }

    pub fn f32(&self, name: &str) -> Vec<f32> {
        let tensors = self.tensors();
        let tensor = tensors.tensor(name).unwrap_or_else(|_| panic!("{}: {name}", self.name));
        assert_eq!(tensor.dtype(), Dtype::F32, "{}: {name}", self.name);
        bytemuck::pod_collect_to_vec(tensor.data())
    }

    pub fn optional_f32(&self, name: &str) -> Option<Vec<f32>> {
        self.has(name).then(|| self.f32(name))
    }

    /// A boolean tensor, or none if it is of another dtype.
    pub fn bools(&self, name: &str) -> Option<Vec<bool>> {
        let tensors = self.tensors();
        let tensor = tensors.tensor(name).ok()?;
        (tensor.dtype() == Dtype::BOOL).then(|| tensor.data().iter().map(|&byte| byte != 0).collect())
    }

    pub fn attribute(&self, name: &str) -> &serde_json::Value {
        &self.case["attributes"][name]
    }

    pub fn count(&self, name: &str) -> usize {
        self.attribute(name).as_u64().unwrap_or_else(|| panic!("{}: {name}", self.name)) as usize
    }

    pub fn flag(&self, name: &str) -> bool {
        self.attribute(name).as_bool().unwrap_or(false)
    }

    pub fn tolerance(&self) -> (f64, f64) {
        (self.case["rtol"].as_f64().unwrap(), self.case["atol"].as_f64().unwrap())
    }
}
