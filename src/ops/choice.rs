//! The one place where an implementation is chosen among several: forced, else tuned, else by a table. The names are those of
//! [`IMPLEMENTATIONS`](crate::device::IMPLEMENTATIONS); [`AdapterClass`](crate::device::AdapterClass) is what tables know of a device.

pub(super) use crate::device::TunedSize as Size;
use crate::device::{Device, implementations_of};
use crate::error::{Error, Result};
use crate::kernel::Variant;
use crate::kernels::reduce;

/// Chooses an implementation: the first name for which `make` succeeds. The names are the forced one alone (`forced`, else by the
/// device's options), else the one that was fastest when the device was tuned, then those of `table`. Without a size nothing was
/// tuned.
///
/// # Errors
/// [`Error::Implementation`] with the reason that `make` gives for the forced one.
pub(super) fn choose_by<T>(
    device: &Device,
    op: &'static str,
    forced: Option<&str>,
    size: Option<&Size>,
    table: &[&'static str],
    make: impl Fn(&str) -> std::result::Result<T, String>,
) -> Result<T> {
    let names = implementations_of(op);
    debug_assert!(!names.is_empty(), "`{op}` is not in device::IMPLEMENTATIONS, so that it cannot be forced");
    let refused = |name: &str, reason: String| Error::Implementation {
        op: op.to_owned(),
        name: name.to_owned(),
        reason,
    };
    if let Some(name) = forced.or_else(|| device.forced(op)) {
        if !names.contains(&name) {
            return Err(refused(name, format!("here there are {}", names.join(", "))));
        }
        return make(name).map_err(|reason| refused(name, reason));
    }
    let tuned = device.settled_tuning().zip(size).and_then(|(tuning, size)| tuning.implementation(op, size));
    let tuned = tuned.filter(|name| names.contains(name));
    let mut last = "the device can run none of them".to_owned();
    for name in tuned.into_iter().chain(table.iter().copied()) {
        match make(name) {
            Ok(choice) => return Ok(choice),
            Err(reason) => last = reason,
        }
    }
    Err(refused("any", last))
}

/// An invocation that sums rows longer than this loses digits (a softmax of 66,000 equal scores was off by 6e-4), and some
/// drivers stop its loops.
const LONGEST_FOR_INVOCATION: usize = 2048;

/// Chooses how the rows of `op` are reduced, rows of that length. Where neighbouring rows lie `side_by_side`, an invocation each
/// reads as well as it can.
///
/// Measured on lavapipe (2 cores), softmax over rows of 128: subgroup 13.9 GB/s, invocation 9.9, workgroup 1.2. On GPUs one
/// invocation a row reads without coalescing, so it is left for rows of a few elements.
pub(super) fn choose_rows(
    device: &Device,
    op: &'static str,
    columns: usize,
    side_by_side: bool,
) -> Result<Variant> {
    let subgroup = match device.capabilities().subgroups {
        Some((min, max)) if min == max && reduce::SUBGROUP_SIZES.contains(&min) => {
            Some(reduce::subgroup(min))
        }
        _ => None,
    };
    let fits = columns <= LONGEST_FOR_INVOCATION;
    let table: &[&'static str] = match (&subgroup, device.is_software()) {
        _ if side_by_side && fits => &["invocation", "subgroup", "workgroup"],
        (Some(_), _) => &["subgroup", "workgroup", "invocation"],
        (None, true) if fits => &["invocation", "workgroup"],
        (None, _) if columns <= 8 => &["invocation", "workgroup"],
        (None, _) => &["workgroup", "invocation"],
    };
    let names = implementations_of(op);
    let written = |name: &str| names.contains(&name);
    let table: Vec<&'static str> = table.iter().copied().filter(|name| written(name)).collect();
    choose_by(device, op, None, None, &table, |name| {
        let variant = match name {
            "workgroup" => Some(reduce::workgroup()),
            "invocation" => Some(reduce::invocation()),
            _ => subgroup.clone(),
        };
        let variant = variant.ok_or_else(|| format!("here there are {}", table.join(", ")))?;
        variant.runs_on(device.capabilities()).map(|()| variant)
    })
}
