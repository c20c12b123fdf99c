//! What is kept of training on the disk: a run to go on with, and the model that it has come to.
//!
//! Both are safetensors files. They are written beside their place, to the disk, and then renamed to it: a program that is killed, or a
//! full disk, leaves the file that was there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::{Lora, Trainer};
use crate::error::{Error, Result};
use crate::layers::Parameter;
use crate::tensor::{DType, Tensor, pack_f16};
use crate::weights::Checkpoint;

/// What the file's metadata has the run's state under.
const STATE: &str = "attentive.training";
/// What the state has the scale of low-rank products under.
const LORA_SCALE: &str = "attentive.lora_scale";

/// Where a run stands, beside its tensors: whatever the caller needs to go on, such as its place in the data and the best score.
pub type TrainingState = BTreeMap<String, String>;

/// A checkpoint's tensors: names, sizes and values, in the order of the names.
pub(super) type Named = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

impl Trainer {
    /// Writes the run to a file: parameters, the optimizer's state, its steps, and `state`. A run that goes on from it
    /// ([`Trainer::resume`]) gives the bits that this one would have given.
    ///
    /// # Errors
    /// [`Error::Io`] with what was at that place still there; those of reading tensors.
    pub fn save(&self, path: impl AsRef<Path>, state: &TrainingState) -> Result<()> {
        let mut state = state.clone();
        state.insert("attentive.steps".to_owned(), self.steps.to_string());
        state.insert("attentive.optimizer_steps".to_owned(), self.optimizer.steps().to_string());
        state.extend(self.lora().map(|lora| (LORA_SCALE.to_owned(), lora.scale().to_string())));
        write_tensors(path.as_ref(), self.tensors(), &state)
    }

    /// Writes the parameters alone to a file, and `state`: the best model of a run that goes on, for [`Trainer::load_parameters`].
    ///
    /// # Errors
    /// As [`Trainer::save`].
    pub fn save_parameters(&self, path: impl AsRef<Path>, state: &TrainingState) -> Result<()> {
        write_tensors(path.as_ref(), self.parameter_tensors(), state)
    }

    /// Reads a file of [`Trainer::save_parameters`] into the parameters, and leaves the optimizer's state as it is; gives the `state`
    /// that they were saved with.
    ///
    /// # Errors
    /// As [`Trainer::resume`]. Then nothing has changed.
    pub fn load_parameters(&mut self, path: impl AsRef<Path>) -> Result<TrainingState> {
        let saved = Saved::read(path.as_ref(), self.parameter_tensors())?;
        saved.write()?;
        self.merge()?;
        Ok(saved.state)
    }

    /// Goes on from a file of [`Trainer::save`], by a trainer that was made as that one was; gives the `state` that it was saved with.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::File`] for what is no such file or damaged, [`Error::MissingTensor`] and [`Error::TensorShape`] for the
    /// run of another model or another optimizer. Then nothing has changed.
    pub fn resume(&mut self, path: impl AsRef<Path>) -> Result<TrainingState> {
        let path = path.as_ref();
        let mut saved = Saved::read(path, self.tensors())?;
        let mut count = |name: &str| {
            let found = saved.state.remove(name).unwrap_or_default();
            let problem = || format!("`{name}` must be a number, but is `{found}`");
            found.parse::<u64>().map_err(|_| Error::File { path: path.to_owned(), problem: problem() })
        };
        let steps = [count("attentive.steps")?, count("attentive.optimizer_steps")?];
        let (found, own) = (saved.state.remove(LORA_SCALE), self.lora().map(|lora| lora.scale().to_string()));
        if let Some(own) = own.filter(|own| found.as_ref() != Some(own)) {
            let found = found.unwrap_or("nothing".to_owned());
            let problem =
                format!("its low-rank products are added {found} times, and those of this run {own} times");
            return Err(Error::File { path: path.to_owned(), problem });
        }
        saved.write()?;
        self.merge()?;
        self.steps = steps[0];
        self.optimizer.set_steps(steps[1]);
        Ok(saved.state)
    }

    /// What follows from parameters that were read.
    fn merge(&self) -> Result<()> {
        self.lora().map_or(Ok(()), Lora::merge)
    }

    /// All tensors of the run by name.
    fn tensors(&self) -> impl Iterator<Item = (String, &Tensor)> {
        let state = self.optimizer.state();
        self.parameter_tensors().chain(state.map(|(name, kind, tensor)| (format!("{kind}.{name}"), tensor)))
    }

    /// Those that are trained.
    fn parameter_tensors(&self) -> impl Iterator<Item = (String, &Tensor)> {
        let parameters = self.parameters().iter();
        parameters.map(|parameter| (format!("parameter.{}", parameter.name()), &parameter.tensor))
    }
}

/// A file of tensors that was read, and not written to its tensors yet.
struct Saved {
    tensors: Vec<(Tensor, Vec<f32>)>,
    state: TrainingState,
}

impl Saved {
    /// Reads a file that has these tensors and no others.
    fn read<'a>(path: &Path, own: impl Iterator<Item = (String, &'a Tensor)>) -> Result<Self> {
        let bad = |problem: String| Error::File { path: path.to_owned(), problem };
        let checkpoint = Checkpoint::open(path)?;
        let state = checkpoint
            .metadata(STATE)
            .ok_or_else(|| bad("it is no run of training that was saved".to_owned()))?;
        let state: TrainingState = serde_json::from_str(state)
            .map_err(|error| bad(format!("the run's state cannot be read: {error}")))?;
        let (mut names, mut tensors) = (HashSet::new(), Vec::new());
        for (name, tensor) in own {
            tensors.push((tensor.clone(), checkpoint.tensor_f32(&name, tensor.shape().dims())?));
            names.insert(name);
        }
        match checkpoint.names().find(|name| !names.contains(*name)) {
            Some(other) => Err(bad(format!("`{other}` belongs to another model or optimizer"))),
            None => Ok(Self { tensors, state }),
        }
    }

    fn write(&self) -> Result<()> {
        self.tensors.iter().try_for_each(|(tensor, values)| tensor.write_f32(values))
    }
}

/// Writes tensors as they are, and a state.
fn write_tensors<'a>(
    path: &Path,
    own: impl Iterator<Item = (String, &'a Tensor)>,
    state: &TrainingState,
) -> Result<()> {
    let mut tensors = Named::new();
    for (name, tensor) in own {
        tensors.insert(name, (tensor.shape().dims().to_vec(), tensor.to_f32()?));
    }
    let state = serde_json::to_string(state).unwrap_or_default();
    write(path, &tensors, DType::F32, HashMap::from([(STATE.to_owned(), state)]))
}

/// Writes parameters to a safetensors file by the names of a checkpoint, stored as f32 or f16: what packed projections and cut matrices
/// are to other libraries. `others` are tensors that are not trained, such as a table of positions.
///
/// # Errors
/// [`Error::Io`] with what was at that place still there, [`Error::Argument`] for another dtype, or for parameters that do not fill the
/// tensors that they are parts of; those of reading tensors.
pub fn save_weights(
    path: impl AsRef<Path>,
    parameters: &[Parameter],
    others: &[(&str, &[usize], &[f32])],
    dtype: DType,
) -> Result<()> {
    let mut tensors = by_name(parameters)?;
    for &(name, shape, values) in others {
        tensors.insert(name.to_owned(), (shape.to_vec(), values.to_vec()));
    }
    // What transformers asks for.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    write(path.as_ref(), &tensors, dtype, metadata)
}

/// The checkpoint's tensors that the parameters are.
pub(super) fn by_name(parameters: &[Parameter]) -> Result<Named> {
    let mut tensors = Named::new();
    let mut filled: BTreeMap<String, usize> = BTreeMap::new();
    for parameter in parameters {
        let values = parameter.tensor.to_f32()?;
        let rows = parameter.tensor.shape().dims().first().copied().unwrap_or(1);
        let columns = values.len() / rows.max(1);
        for slice in &parameter.slices {
            let count = slice.shape.iter().product();
            let wide = if slice.shape.len() > 1 { slice.shape[1..].iter().product() } else { 1 };
            let (_, to) =
                tensors.entry(slice.name.clone()).or_insert_with(|| (slice.shape.clone(), vec![0.0; count]));
            for (to_row, from_row) in (slice.at[0]..).zip(slice.rows.clone()) {
                let first = to_row * wide + slice.at[1];
                to[first..first + columns].copy_from_slice(&values[from_row * columns..][..columns]);
            }
            *filled.entry(slice.name.clone()).or_default() += slice.rows.len() * columns;
        }
    }
    for (name, (shape, values)) in &tensors {
        if filled.get(name) != Some(&values.len()) {
            let found = format!("{} of them", filled.get(name).copied().unwrap_or(0));
            return Err(Error::argument(
                "save_weights",
                name,
                format!("given whole, all elements of {shape:?}"),
                found,
            ));
        }
    }
    Ok(tensors)
}

/// Writes tensors beside a path, and then to it.
pub(super) fn write(
    path: &Path,
    tensors: &Named,
    dtype: DType,
    metadata: HashMap<String, String>,
) -> Result<()> {
    let stored = match dtype {
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        other => return Err(Error::argument("save_weights", "dtype", "f32 or f16", other.to_string())),
    };
    let bytes: BTreeMap<&String, Vec<u8>> = tensors
        .iter()
        .map(|(name, (_, values))| {
            let bytes = match dtype {
                DType::F16 => bytemuck::cast_slice(&pack_f16(values))[..2 * values.len()].to_vec(),
                _ => bytemuck::cast_slice(values).to_vec(),
            };
            (name, bytes)
        })
        .collect();
    let io = |source: std::io::Error| Error::Io { path: path.to_owned(), source };
    let broken = |error: safetensors::SafeTensorError| io(std::io::Error::other(error));
    let mut views = Vec::with_capacity(bytes.len());
    for (name, bytes) in &bytes {
        let shape = tensors.get(*name).map(|(shape, _)| shape.clone()).unwrap_or_default();
        views.push((*name, TensorView::new(stored, shape, bytes).map_err(broken)?));
    }
    let contents = safetensors::serialize(views, Some(metadata)).map_err(broken)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let beside = path.with_file_name(name);
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(&contents)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    });
    written.map_err(|error| {
        // What could not be written whole is of no use; that it cannot be removed either changes nothing.
        let _ = std::fs::remove_file(&beside);
        io(error)
    })
}
