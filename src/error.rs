//! The one error type. Each variant names what was wrong, what was needed and what there was.

use std::path::PathBuf;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, with the numbers in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No adapter fits the device specification.
    #[error(
        "no adapter for the device `{wanted}`; {}{}",
        list_or(available, "there are: ", "there is none at all"),
        hint_suffix(hint)
    )]
    NoAdapter {
        /// The specification as it was given.
        wanted: String,
        /// The adapters that there are, each as `devices` prints it.
        available: Vec<String>,
        /// Advice to the user; may be empty.
        hint: String,
    },
    /// A device specification that cannot be read.
    #[error(
        "`{spec}` is not a device; write one of auto, gpu, gpu:N, gpu:name=TEXT, vulkan, metal, dx12, gl, webgpu, cpu"
    )]
    DeviceSpec {
        /// The text as it was given.
        spec: String,
    },
    /// An environment variable that says which adapters are looked at cannot be read.
    #[error("the environment variable {name} is `{value}`, and must be {expected}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// The value that it is set to.
        value: String,
        /// The values that would be right.
        expected: &'static str,
    },
    /// The adapter refused to open a device.
    #[error("the adapter {adapter} gives no device: {reason}")]
    DeviceRequest {
        /// The adapter's name.
        adapter: String,
        /// The backend's words.
        reason: String,
    },
    /// The device was lost; it and all that lives on it must be opened again.
    #[error("the device {device} was lost: {reason}")]
    DeviceLost {
        /// The adapter's name.
        device: String,
        /// The driver's words.
        reason: String,
    },
    /// The device has no memory left for an allocation.
    #[error("out of memory on {device}: {what} needs {needed} bytes")]
    OutOfMemory {
        /// The adapter's name.
        device: String,
        /// The thing that was to be allocated.
        what: String,
        /// Its size in bytes.
        needed: u64,
    },
    /// The device did not finish in time.
    #[error("{device} did not finish {what} within {seconds} s")]
    Timeout {
        /// The adapter's name.
        device: String,
        /// The work waited for.
        what: String,
        /// The limit that was set.
        seconds: f64,
    },
    /// The backend rejected our own work: a defect of this crate or of the driver, or numbers on the device that lead
    /// out of a tensor.
    #[error("{device} rejected {what}: {message}")]
    Rejected {
        /// The adapter's name.
        device: String,
        /// The work that was rejected.
        what: String,
        /// The backend's words.
        message: String,
    },
    /// A size is above what the device can take.
    #[error("{what} needs {limit} of {needed}, the device allows {available}")]
    Limit {
        /// The part that asked for it.
        what: String,
        /// The limit's name, as WebGPU writes it.
        limit: &'static str,
        /// The size needed.
        needed: u64,
        /// The size allowed.
        available: u64,
    },
    /// A forced implementation cannot run here, or there is none of that name.
    #[error("the implementation `{name}` of {op} cannot be used: {reason}")]
    Implementation {
        /// The op, such as `linear`.
        op: String,
        /// The implementation's name.
        name: String,
        /// The thing that it lacks, or the names there are.
        reason: String,
    },
    /// A tuning does not hold for the device.
    #[error("the tuning does not hold here: {reason}")]
    Tuning {
        /// The difference, or the fault.
        reason: String,
    },
    /// An argument does not fit: a shape, a dtype, a length, a range.
    #[error("{op}: {argument} must be {expected}, but is {found}")]
    Argument {
        /// The op or layer.
        op: String,
        /// The argument's name (with its partner's, where two do not fit each other).
        argument: String,
        /// The values that would be right.
        expected: String,
        /// The value that was given.
        found: String,
    },
    /// A value that gradients are asked for goes through something that has no rule for them.
    #[error(
        "{what} has no gradient, and one of its inputs is differentiated: train without it, or record it in a recording of its own"
    )]
    NoGradient {
        /// The kernel, and where it stands.
        what: String,
    },
    /// Training does not come to anything finite any more.
    #[error(
        "training has diverged: the gradients of {skipped} steps in a row, up to step {step}, are not finite (loss {loss}, learning \
         rate {learning_rate:e}); try a smaller learning rate, or clip gradients"
    )]
    Diverged {
        /// The last step.
        step: u64,
        /// How many steps in a row were left out.
        skipped: u64,
        /// The last loss.
        loss: f32,
        /// The last learning rate.
        learning_rate: f32,
    },
    /// An error of something that was recorded under a name, with [`Recording::scoped`](crate::Recording::scoped).
    /// [`Error::root`] is the error itself.
    #[error("{scope}: {source}")]
    In {
        /// Where in the model, such as `encoder.layer.3.attention`.
        scope: String,
        /// The error.
        source: Box<Error>,
    },
    /// The caller's progress callback asked for an end; what had been computed is dropped.
    #[error("{op}: stopped by the progress callback after {done} of {total}")]
    Interrupted {
        /// The call that was running, such as `encode`.
        op: &'static str,
        /// The count that was done, as the callback was told it.
        done: usize,
        /// Of how much.
        total: usize,
    },
    /// Two things live on different devices.
    #[error("{op}: {argument} lives on {found}, but the others on {}", told_apart(expected, found))]
    WrongDevice {
        /// The op.
        op: String,
        /// The argument's name.
        argument: String,
        /// The device of the others.
        expected: String,
        /// The device of the argument.
        found: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file was read but does not hold what it should.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The fault.
        problem: String,
    },
    /// A model folder asks for something that this crate does not have.
    #[error("{}: {what} `{found}` is not supported (supported: {})", path.display(), supported.join(", "))]
    Unsupported {
        /// The file that asks for it.
        path: PathBuf,
        /// The kind of thing, such as `architecture` or `module`.
        what: &'static str,
        /// The name found.
        found: String,
        /// The names that would have done.
        supported: Vec<String>,
    },
    /// A checkpoint lacks a tensor.
    #[error("{}: there is no tensor `{name}`{}", path.display(), list_or(similar, "; similar names: ", ""))]
    MissingTensor {
        /// The checkpoint.
        path: PathBuf,
        /// The name looked for.
        name: String,
        /// Names in the file that end alike.
        similar: Vec<String>,
    },
    /// A model folder lacks a head.
    #[error("{}: there is no {head}: it needs the tensor `{tensor}`, and this folder has {found}", path.display())]
    MissingHead {
        /// The checkpoint.
        path: PathBuf,
        /// The head, such as `masked-language-model head`.
        head: &'static str,
        /// The tensor that shows that there is one.
        tensor: String,
        /// The heads that there are, such as `only the encoder and the pooler`.
        found: String,
    },
    /// A checkpoint's tensor has another shape than the config says, a case's another than its op takes.
    #[error("{}: the tensor `{name}` should be {expected:?}, but is {found:?}", path.display())]
    TensorShape {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The shape that follows from the config, or from the other tensors.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A checkpoint's weight is NaN or infinite, or would be no such number any more as what it is to be stored as.
    #[error("{}: the tensor `{name}` must be {expected}, but {found}", path.display())]
    Weight {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What can be stored, such as `below 65520 in magnitude to be stored as f16 (f32 takes it)`.
        expected: String,
        /// The elements that cannot.
        found: String,
    },
    /// A text could not be tokenized.
    #[error("the tokenizer failed on text {index}: {problem}")]
    Tokenize {
        /// The text's place in the caller's list, from 0.
        index: usize,
        /// The tokenizer's words.
        problem: String,
    },
}

impl Error {
    /// The error itself, without the scopes that it came through ([`Error::In`]).
    ///
    /// ```
    /// use attentive::{DType, Device, Error, Recording};
    ///
    /// let mut recording = Recording::new(&Device::cpu());
    /// let error = recording
    ///     .scoped("my.layer.3", |recording| recording.temporary([1 << 40], DType::F32))
    ///     .unwrap_err();
    /// assert!(error.to_string().starts_with("my.layer.3: "), "{error}");
    /// assert!(matches!(error.root(), Error::Limit { .. }));
    /// ```
    pub fn root(&self) -> &Self {
        match self {
            Self::In { source, .. } => source.root(),
            error => error,
        }
    }

    /// The error as one of what is named `scope`.
    pub(crate) fn within(self, scope: &str) -> Self {
        match self {
            error if scope.is_empty() => error,
            Self::In { scope: inner, source } => Self::In { scope: format!("{scope}.{inner}"), source },
            error => Self::In { scope: scope.to_owned(), source: Box::new(error) },
        }
    }

    /// An [`Error::Argument`] in one line.
    pub(crate) fn argument(
        op: &str,
        argument: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Argument {
            op: op.to_owned(),
            argument: argument.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

fn list_or(items: &[String], before: &str, none: &str) -> String {
    if items.is_empty() { none.to_owned() } else { format!("{before}{}", items.join(", ")) }
}

/// The device's name, told apart from another device of that name.
fn told_apart(expected: &str, found: &str) -> String {
    if expected == found { "another open device of that name".to_owned() } else { expected.to_owned() }
}

fn hint_suffix(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!(". {hint}") }
}
