//! Reading a case file. Nothing in it is trusted.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use serde_json::{Map, Value};

use super::{Array, OPS, Op};
use crate::error::{Error, Result};
use crate::weights::Checkpoint;
use crate::weights::files::{self, bad, shown, unsupported};
use crate::weights::json::Object;

/// Larger files are no cases.
const LARGEST_BYTES: u64 = 1 << 30;
/// Larger sizes are no model's, and their products stay within a usize.
pub(super) const LARGEST_SIZE: usize = 1 << 20;
const KEYS: [&str; 7] = ["op", "attributes", "rtol", "atol", "gradient_rtol", "gradient_atol", "source"];

/// One case: an op, its attributes, inputs and answers, and how far a device may be from them.
///
/// ```
/// use attentive::Device;
/// use attentive::case_files::CaseFile;
///
/// # fn main() -> attentive::Result<()> {
/// let case = CaseFile::open("tests/cases/pytorch/sdpa_causal_square.safetensors")?;
/// let report = case.run(&Device::cpu())?;
/// assert!(report.passed(), "{report}");
/// # Ok(())
/// # }
/// ```
pub struct CaseFile {
    checkpoint: Checkpoint,
    op: &'static Op,
    attributes: Attributes,
    tolerance: (f64, f64),
    gradient_tolerance: (f64, f64),
    source: Option<String>,
}

impl std::fmt::Debug for CaseFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CaseFile({} of {})", self.op.name, self.path().display())
    }
}

/// What an answer's elements are in the file, and so what the result is rounded to.
#[derive(Clone, Copy)]
pub(super) enum Rounding {
    F32,
    F16,
    BF16,
}

impl Rounding {
    pub(super) fn round(self, values: &[f32]) -> Vec<f32> {
        match self {
            Self::F32 => values.to_vec(),
            Self::F16 => values.iter().map(|&value| f16::from_f32(value).to_f32()).collect(),
            Self::BF16 => values.iter().map(|&value| bf16::from_f32(value).to_f32()).collect(),
        }
    }
}

impl CaseFile {
    /// Reads a case file.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that cannot be read, [`Error::File`] for one that is no case, [`Error::Unsupported`]
    /// for an unknown op.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_bytes(files::read(path, LARGEST_BYTES, "a case")?, path)
    }

    /// A case file that is in memory already; `name` stands for its path in errors.
    ///
    /// # Errors
    /// As [`CaseFile::open`].
    pub fn from_bytes(bytes: Vec<u8>, name: impl Into<PathBuf>) -> Result<Self> {
        let checkpoint = Checkpoint::from_bytes(bytes, name)?;
        let path = checkpoint.path();
        let Some(text) = checkpoint.metadata("case") else {
            return Err(bad(path, "its metadata has no key `case`, so it is no case file"));
        };
        let case = Object::parse(path, text.as_bytes())?;
        if let Some(key) = case.keys().find(|key| !KEYS.contains(key)) {
            let problem =
                format!("`case` has the unknown key `{}`; it may have {}", shown(key), KEYS.join(", "));
            return Err(bad(path, problem));
        }
        let name = case.text("op")?.ok_or_else(|| bad(path, "`case` has no `op`"))?;
        let op = OPS.into_iter().find(|op| op.name == name);
        let names: Vec<&str> = super::ops().collect();
        let op = op.ok_or_else(|| unsupported(path, "op", name, &names))?;
        let attributes = case.object("attributes")?.cloned().unwrap_or_default();
        let optional = |key: &str| match case.number(key)? {
            Some(tolerance) if !(tolerance.is_finite() && tolerance >= 0.0) => {
                Err(bad(path, format!("`{key}` must be 0 or more, but is {tolerance}")))
            }
            tolerance => Ok(tolerance),
        };
        let needed = |key: &str| optional(key)?.ok_or_else(|| bad(path, format!("`case` has no `{key}`")));
        let tolerance = (needed("rtol")?, needed("atol")?);
        let case = Self {
            op,
            tolerance,
            gradient_tolerance: (
                optional("gradient_rtol")?.unwrap_or(tolerance.0),
                optional("gradient_atol")?.unwrap_or(tolerance.1),
            ),
            source: case.text("source")?.map(str::to_owned),
            attributes: Attributes::new(path, op, attributes)?,
            checkpoint,
        };
        case.check_names()?;
        Ok(case)
    }

    /// Every tensor must be one that the op knows, and there must be an answer.
    fn check_names(&self) -> Result<()> {
        let is_input = |name: &str| match name.strip_prefix("weight.") {
            Some(rest) => self.op.weights.concat().contains(&without_layer(rest)),
            None => self.op.inputs.contains(&name),
        };
        let known = |name: &str| match name.split_once('.') {
            Some(("expected" | "upstream", rest)) => self.op.outputs.contains(&rest),
            Some(("gradient", rest)) => is_input(rest),
            _ => is_input(name),
        };
        if let Some(name) = self.checkpoint.names().find(|name| !known(name)) {
            let list = |prefix: &str, names: &[&str]| {
                names.iter().map(|name| format!("{prefix}{name}")).collect::<Vec<_>>()
            };
            let Op { name: op, inputs, weights, outputs, .. } = self.op;
            let names =
                [list("", inputs), list("weight.", &weights.concat()), list("expected.", outputs)].concat();
            let problem = format!(
                "{op} has no tensor `{}`; it has {}, and upstream.NAME of an answer and gradient.NAME of a tensor of floats",
                shown(name),
                names.join(", ")
            );
            return Err(bad(self.path(), problem));
        }
        if self.answers().next().is_none() {
            let problem =
                format!("there is no answer: none of expected.{}", self.op.outputs.join(", expected."));
            return Err(bad(self.path(), problem));
        }
        self.check_gradients()
    }

    /// A gradient comes of an upstream gradient, and is that of a tensor of floats that is there.
    fn check_gradients(&self) -> Result<()> {
        let wrong = |problem: String| Err(bad(self.path(), problem));
        match (self.upstreams().next(), self.gradients().next()) {
            (None, Some(name)) => {
                return wrong(format!(
                    "`gradient.{name}` needs the gradient of an output: one of upstream.{}",
                    self.op.outputs.join(", upstream.")
                ));
            }
            (Some(name), None) => {
                return wrong(format!("`upstream.{name}` is there, but no gradient.NAME that comes of it"));
            }
            _ => {}
        }
        for name in self.gradients() {
            let Some(shape) = self.checkpoint.shape(name) else {
                return wrong(format!("`gradient.{name}` is there, but no `{name}`"));
            };
            let dtype = self.checkpoint.dtype(name).unwrap_or_default();
            if !["F32", "F16", "BF16"].contains(&dtype.as_str()) {
                return wrong(format!(
                    "`{name}` is {dtype} and takes no gradient, but there is `gradient.{name}`"
                ));
            }
            let found = self.checkpoint.shape(&format!("gradient.{name}")).unwrap_or_default();
            if found != shape {
                return wrong(format!("`gradient.{name}` is {found:?}, but `{name}` is {shape:?}"));
            }
        }
        Ok(())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.checkpoint.path()
    }

    /// The op's name.
    pub fn op_name(&self) -> &'static str {
        self.op.name
    }

    /// Who gave the answers, if the file says so.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// rtol and atol: |got − expected| ≤ atol + rtol·|expected| is asked of every element.
    pub fn tolerance(&self) -> (f64, f64) {
        self.tolerance
    }

    /// The same of gradients: the file's gradient_rtol and gradient_atol, each as above where it has none.
    pub fn gradient_tolerance(&self) -> (f64, f64) {
        self.gradient_tolerance
    }

    pub(super) fn op(&self) -> &'static Op {
        self.op
    }

    pub(super) fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    pub(super) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The names of the answers, sorted.
    pub(super) fn answers(&self) -> impl Iterator<Item = &str> {
        self.checkpoint.names().filter_map(|name| name.strip_prefix("expected."))
    }

    /// The names of the outputs whose gradients are given, sorted.
    pub(super) fn upstreams(&self) -> impl Iterator<Item = &str> {
        self.checkpoint.names().filter_map(|name| name.strip_prefix("upstream."))
    }

    /// The names of the inputs and weights whose gradients are to be compared, sorted.
    pub(super) fn gradients(&self) -> impl Iterator<Item = &str> {
        self.checkpoint.names().filter_map(|name| name.strip_prefix("gradient."))
    }

    /// A tensor of floats and what it is stored as.
    pub(super) fn array(&self, name: &str) -> Result<(Array, Rounding)> {
        let shape = self.checkpoint.shape(name).unwrap_or_default().to_vec();
        let values = self.checkpoint.tensor_f32(name, &shape)?;
        let rounding = match self.checkpoint.dtype(name).as_deref() {
            Some("F16") => Rounding::F16,
            Some("BF16") => Rounding::BF16,
            _ => Rounding::F32,
        };
        Ok((Array { shape, values }, rounding))
    }
}

/// `layers.3.linear1.weight` as `linear1.weight`.
fn without_layer(name: &str) -> &str {
    let rest = name.strip_prefix("layers.").and_then(|rest| rest.split_once('.'));
    match rest {
        Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => name,
    }
}

/// The op's attributes; `null` counts as absent.
pub(super) struct Attributes {
    object: Object,
}

impl Attributes {
    fn new(path: &Path, op: &Op, map: Map<String, Value>) -> Result<Self> {
        let known = op.attributes.concat();
        if let Some(name) = map.keys().find(|name| !known.contains(&name.as_str())) {
            let known = match known.as_slice() {
                [] => "none".to_owned(),
                names => names.join(", "),
            };
            let problem = format!("{} has no attribute `{}`; it has {known}", op.name, shown(name));
            return Err(bad(path, problem));
        }
        Ok(Self { object: Object::new(path, map) })
    }

    /// True or false; 0 and 1 too, as ONNX writes them.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        match self.object.get(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(value) if value.as_u64() == Some(0) => Ok(false),
            Some(value) if value.as_u64() == Some(1) => Ok(true),
            Some(other) => Err(self.object.wrong(name, "true or false", other)),
        }
    }

    /// A number that f32 holds.
    pub(super) fn number(&self, name: &str) -> Result<Option<f32>> {
        match self.object.number(name)? {
            Some(value) if !(value as f32).is_finite() => {
                Err(self.object.wrong(name, "a number within f32", &Value::from(value)))
            }
            value => Ok(value.map(|value| value as f32)),
        }
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>> {
        let Some(value) = self.object.get(name) else { return Ok(None) };
        value.as_i64().map(Some).ok_or_else(|| self.object.wrong(name, "a whole number", value))
    }

    /// An axis, counted from the back if negative.
    pub(super) fn axis(&self, name: &str, default: isize) -> Result<isize> {
        let axis = self.integer(name)?.unwrap_or(default as i64);
        // What no isize holds is no axis either.
        Ok(isize::try_from(axis).unwrap_or(isize::MAX))
    }

    pub(super) fn count(&self, name: &str, range: RangeInclusive<usize>) -> Result<Option<usize>> {
        self.object.count(name, range)
    }

    pub(super) fn needed_count(&self, name: &str, range: RangeInclusive<usize>) -> Result<usize> {
        self.object.needed_count(name, range)
    }

    /// One of these texts.
    pub(super) fn text<'a>(&'a self, name: &str, choices: &[&'a str]) -> Result<Option<&'a str>> {
        match self.object.text(name)? {
            Some(text) if !choices.contains(&text) => {
                Err(self.object.wrong(name, &choices.join(" or "), &Value::from(text)))
            }
            text => Ok(text),
        }
    }

    /// That the op cannot do what this attribute asks for.
    pub(super) fn not_supported(&self, name: &str, supported: &str) -> Error {
        let found = self.object.get(name).cloned().unwrap_or_default();
        self.object.wrong(name, supported, &found)
    }
}
