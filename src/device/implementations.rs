//! The implementations that ops choose among: their names, and what tells adapters apart when one is chosen
//! (`ops/choice.rs` chooses).

use super::Device;

/// The ops that have implementations to choose from, and the names of these, in no order of merit: each may be forced
/// ([`DeviceOptions::implementations`](super::DeviceOptions::implementations)), tuned and benched.
pub const IMPLEMENTATIONS: [(&str, &[&str]); 10] = [
    ("attention", &["tiled", "subgroup", "subgroup8", "decode", "cooperative", "chained"]),
    ("attention_gradient", &["tiled", "chained"]),
    ("embedding_norm", ROWS),
    ("layer_norm", ROWS),
    ("linear", &["subgroup8", "large", "medium", "small", "split", "gemv", "tiled", "cooperative"]),
    ("mean_max", ROWS),
    ("pool", &["subgroup", "workgroup"]),
    ("rms_norm", ROWS),
    ("softmax", ROWS),
    ("sum", ROWS),
];

/// Those of ops that reduce rows.
const ROWS: &[&str] = &["subgroup", "workgroup", "invocation"];

/// The ops of [`IMPLEMENTATIONS`].
pub const OPS: [&str; IMPLEMENTATIONS.len()] = {
    let mut ops = [""; IMPLEMENTATIONS.len()];
    let mut place = 0;
    while place < ops.len() {
        ops[place] = IMPLEMENTATIONS[place].0;
        place += 1;
    }
    ops
};

/// The names of an op's implementations; none for an op that has no choice.
pub fn implementations_of(op: &str) -> &'static [&'static str] {
    IMPLEMENTATIONS.iter().find(|(name, _)| *name == op).map_or(&[], |(_, names)| names)
}

/// A kind of adapter, as tables of implementations tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdapterClass {
    /// The CPU device, where all implementations are one twin.
    Cpu,
    /// A software adapter whose subgroups are exactly 8 wide, the vector of a CPU: lavapipe.
    Subgroups8,
    /// llvmpipe without them: OpenGL.
    Llvmpipe,
    /// Other software adapters: SwiftShader, WARP.
    Software,
    /// An adapter with hardware of its own.
    Gpu,
}

impl AdapterClass {
    /// The class of a device.
    pub(crate) fn of(device: &Device) -> Self {
        match device.capabilities().subgroups {
            _ if device.is_cpu() => Self::Cpu,
            _ if !device.is_software() => Self::Gpu,
            Some((8, 8)) => Self::Subgroups8,
            _ if device.name().contains("llvmpipe") => Self::Llvmpipe,
            _ => Self::Software,
        }
    }
}
