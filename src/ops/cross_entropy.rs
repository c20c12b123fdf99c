//! Cross-entropy.

use super::choice::choose_rows;
use super::{expect_dtype, size, sum};
use crate::error::{Error, Result};
use crate::kernels::loss::cross_entropy::{self, Parameters};
use crate::kernels::loss::cross_entropy_gradient::{self, CrossEntropyGradient};
use crate::kernels::loss::{IGNORED, STATISTICS};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

const OP: &str = "cross_entropy";

/// The mean cross-entropy of rows of logits and their targets, to be recorded: Σᵣ wᵣ · (log Σ exp(xᵣ) − (1 − ε) · x_y −
/// ε/V · Σ x_j) / N over the rows that count (Szegedy et al. 2016, section 7; `torch.nn.functional.cross_entropy`, but for weights,
/// which are of rows here).
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy<'a> {
    targets: &'a [u32],
    ignored: u32,
    smoothing: f32,
    weights: Option<&'a [f32]>,
    divisor: Option<f32>,
}

impl<'a> CrossEntropy<'a> {
    /// With one target for each row of logits: its class, or [`CrossEntropy::IGNORED`].
    pub fn new(targets: &'a [u32]) -> Self {
        Self { targets, ignored: Self::IGNORED, smoothing: 0.0, weights: None, divisor: None }
    }

    /// The target of a row that counts for nothing, whatever else is ignored.
    pub const IGNORED: u32 = IGNORED;

    /// Rows with that target count for nothing too, whatever their logits are.
    #[must_use]
    pub fn ignore(mut self, target: u32) -> Self {
        self.ignored = target;
        self
    }

    /// ε from 0 to 1: that share of each target is spread over all classes.
    #[must_use]
    pub fn label_smoothing(mut self, smoothing: f32) -> Self {
        self.smoothing = smoothing;
        self
    }

    /// Weights of the rows, 1 without. A row of weight 0 is as one that is ignored.
    #[must_use]
    pub fn weights(mut self, weights: &'a [f32]) -> Self {
        self.weights = Some(weights);
        self
    }

    /// What the sum is divided by: without it the weights of the rows that count, for their mean. By all tokens of a step the losses
    /// of its parts add up to that of the whole.
    #[must_use]
    pub fn divisor(mut self, divisor: f32) -> Self {
        self.divisor = Some(divisor);
        self
    }

    /// Records it: logits f32 `[…, classes]` give the scalar loss, f32 `[1]`. Where no row counts it is 0.
    ///
    /// A NaN or +∞ in a row that counts, or −∞ alone, makes it NaN; −∞ at a target, or anywhere with smoothing, infinite.
    ///
    /// # Errors
    /// [`Error::Argument`] for a target past the classes, numbers of targets or weights that are not those of the rows, a weight that is
    /// negative or not finite, a smoothing outside of 0 to 1, or a divisor that is not above 0; [`Error::Limit`],
    /// [`Error::Implementation`].
    pub fn record(self, recording: &mut Recording, logits: &Value) -> Result<Value> {
        expect_dtype(OP, "logits", logits, &[DType::F32])?;
        let (labels, factors) = self.rows(logits)?;
        let (rows, columns) = (labels.len(), logits.shape().last());
        let parameters = Parameters {
            rows: size(OP, "the rows of the logits", rows)?,
            columns: size(OP, "the classes", columns)?,
            smoothing: self.smoothing,
        };
        let elements = size(OP, "the logits", rows.saturating_mul(columns))?;
        recording.atomically(|recording| {
            // Its rows are reduced as those of a softmax are.
            let variant = choose_rows(recording.device(), "softmax", columns, false)?;
            let labels = recording.constant([rows], DType::U32, labels)?;
            let words = factors.iter().map(|factor| factor.to_bits()).collect();
            let factors = recording.constant([rows], DType::F32, words)?;
            let statistics = recording.temporary([rows, STATISTICS], DType::F32)?;
            let record = |recording: &mut Recording| {
                let losses = recording.temporary([rows], DType::F32)?;
                let bindings = [logits, &labels, &factors, &losses, &statistics];
                recording.dispatch_trusted(&cross_entropy::CrossEntropy, variant, &parameters, &bindings)?;
                sum(recording, &losses, 0..1)?.reshape([1])
            };
            recording.differentiable(&[logits], record, |_| {
                let [logits, labels, factors, statistics] =
                    [logits, &labels, &factors, &statistics].map(Value::clone);
                Box::new(move |recording, gradients, upstream| {
                    let dx = recording.temporary(logits.shape().clone(), DType::F32)?;
                    let parameters = cross_entropy_gradient::Parameters {
                        elements,
                        columns: parameters.columns,
                        smoothing: parameters.smoothing,
                    };
                    let bindings = [&logits, &labels, &factors, &statistics, upstream, &dx];
                    let variant = cross_entropy_gradient::variant();
                    recording.dispatch_trusted(&CrossEntropyGradient, variant, &parameters, &bindings)?;
                    gradients.add(recording, &logits, dx)
                })
            })
        })
    }

    /// The kernels' labels, and each row's weight over the divisor.
    fn rows(&self, logits: &Value) -> Result<(Vec<u32>, Vec<f32>)> {
        let wrong = |argument: String, expected: String, found: String| {
            Err(Error::argument(OP, argument, expected, found))
        };
        let (rows, columns) = (logits.shape().rows(), logits.shape().last());
        if logits.shape().rank() == 0 {
            return wrong("logits".to_owned(), "[…, classes]".to_owned(), logits.shape().to_string());
        }
        if self.targets.len() != rows {
            let expected = format!("one for each of {rows} rows of logits {}", logits.shape());
            return wrong("targets".to_owned(), expected, self.targets.len().to_string());
        }
        if let Some(weights) = self.weights {
            if weights.len() != rows {
                let expected = format!("one for each of {rows} rows of logits {}", logits.shape());
                return wrong("weights".to_owned(), expected, weights.len().to_string());
            }
            if let Some(place) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
                let expected = "finite, at least 0".to_owned();
                return wrong(format!("weights[{place}]"), expected, weights[place].to_string());
            }
        }
        if !(0.0..=1.0).contains(&self.smoothing) {
            return wrong("label_smoothing".to_owned(), "from 0 to 1".to_owned(), self.smoothing.to_string());
        }
        if let Some(divisor) = self.divisor.filter(|divisor| !(divisor.is_finite() && *divisor > 0.0)) {
            return wrong("divisor".to_owned(), "finite, above 0".to_owned(), divisor.to_string());
        }
        let weight = |row: usize| self.weights.map_or(1.0, |weights| f64::from(weights[row]));
        let mut labels = Vec::with_capacity(rows);
        for (row, &target) in self.targets.iter().enumerate() {
            let ignored = target == self.ignored || target == IGNORED;
            if !ignored && target as usize >= columns {
                let expected = format!("below {columns}, the classes of logits {}", logits.shape());
                return wrong(format!("targets[{row}]"), expected, target.to_string());
            }
            labels.push(if ignored || weight(row) == 0.0 { IGNORED } else { target });
        }
        let counted = || (0..rows).filter(|&row| labels[row] != IGNORED);
        let divisor = self.divisor.map_or_else(|| counted().map(weight).sum(), f64::from);
        // In f64, so that a factor is rounded once; of a row that does not count it is not read.
        let mut factors = vec![0.0; rows];
        counted().for_each(|row| factors[row] = (weight(row) / divisor) as f32);
        Ok((labels, factors))
    }
}
