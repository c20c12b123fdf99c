//! Faults of the operators that no case can see on llvmpipe: the kernel computes the same with them, or does there.

mod tiles;

use std::sync::LazyLock;

/// Faults that are not asked for.
#[derive(Clone, Copy)]
pub struct Equivalent {
    /// A kernel, or a file of `shaders/` without its ending: then in every kernel that takes it.
    place: &'static str,
    /// What their names have in them (`Faults::name`): parts of the line, of the change, the operator.
    parts: &'static [&'static str],
    /// Why it is no fault.
    why: &'static str,
    /// Whether a case may see it now and then: what is written depends on which workgroup or lane comes first.
    by_chance: bool,
}

const fn same(place: &'static str, parts: &'static [&'static str], why: &'static str) -> Equivalent {
    Equivalent { place, parts, why, by_chance: false }
}

/// Faults that show where another workgroup or lane comes first.
const fn race(place: &'static str, parts: &'static [&'static str], why: &'static str) -> Equivalent {
    Equivalent { place, parts, why, by_chance: true }
}

/// Faults for which a case is still missing.
const fn missing(place: &'static str, parts: &'static [&'static str], case: &'static str) -> Equivalent {
    same(place, parts, case)
}

/// Lanes that add what no step reads any more, or beside a step: subgroups run one after the other there, so the lane that is read
/// has not yet added.
const RACE: &str = "a lane adds to what another reads in the same step, which reads first on llvmpipe";

const EXP: &str = "on llvmpipe exp is 0 however far below";

const SMALL: &str = "1 − exp errs by 6e-8, and GELU adds 1 to that";

const NAN: &str = "llvmpipe's exp keeps a NaN";

const STRANGE: &str = "a NaN is told beside it, and a level's edge is 0 from one element beyond on";

const INFINITE: &str = "what is added to the loss is infinite there too, and llvmpipe's sums keep it";

pub static EQUIVALENTS: LazyLock<Vec<Equivalent>> = LazyLock::new(|| [OTHERS, tiles::EQUIVALENTS].concat());

const OTHERS: &[Equivalent] = &[
    // elementwise
    same("shared/half", &["`>=` → `>`", "0x477ff000u"], "65,520 rounds to infinity by itself"),
    same(
        "shared/half",
        &["magnitude < 0x38800000u"],
        "both ways give 2⁻¹⁴ for 2⁻¹⁴ and for what lies one bit below",
    ),
    same("shared/half", &["`25u` → `26u`"], "from a shift of 25 on nothing is left"),
    same(
        "shared/half",
        &["& 0x3ffu` →", "INFINITY"],
        "the bits above the fraction are among those of INFINITY",
    ),
    same("elementwise/cast", &["& 0xffffu` →"], "`widen` takes the low half alone"),
    same("shared/activation", &["`0.0` → `1.0`", "exp(-a * q)"], "it counts only where |x| is above 1"),
    same("shared/activation", &["second argument", "`select(x * p, beyond, a > 1.0)`"], SMALL),
    same("shared/activation", &["`1.0` → `0.0`", "a > 1.0"], SMALL),
    same("shared/activation", &["first argument", "is_nan(x)"], NAN),
    same("elementwise/activate", &["first argument", "is_nan(value)"], NAN),
    same(
        "shared/tanh",
        &["no right operand", "+ t * 0.021869488` →"],
        "the last term is 8e-8 at most, below the cases' floors",
    ),
    same(
        "shared/tanh",
        &["`+` → `-`", "0.021869488"],
        "the last term is 8e-8 at most, below the cases' floors",
    ),
    // rows
    race("shared/reduce/rows_workgroup", &["if (lane < stride)", "always"], RACE),
    race("shared/reduce/rows_workgroup", &["if (lane < stride)", "one further"], RACE),
    same(
        "pooling/pool",
        &["lane_of(invocation)` → `invocation`"],
        "no variant leaves rows to one invocation",
    ),
    same("pooling/pool", &["row_of(", "first argument"], "no variant leaves rows to one invocation"),
    race(
        "pooling/pool",
        &["one further", "column < parameters.columns"],
        "the next row, which comes later, writes there itself; behind the last one the guard's NaN stays that NaN",
    ),
    same(
        "shared/reduce/rows_workgroup",
        &["/ 2u` →", "reduce_max:"],
        "the largest of the row, and once more its last lane's",
    ),
    same(
        "pooling/mean_max",
        &["left out", "reduce_add: `workgroupBarrier"],
        "there is no reduction before it",
    ),
    same(
        "normalization/rms_norm",
        &["left out", "reduce_add: `workgroupBarrier"],
        "there is no reduction before it",
    ),
    same("pooling/pool", &["left out", "reduce_add: `workgroupBarrier"], "there is no reduction before it"),
    same("optimizer/norm", &["left out", "reduce_add: `workgroupBarrier"], "there is no reduction before it"),
    same(
        "optimizer/squares",
        &["left out", "reduce_add: `workgroupBarrier"],
        "there is no reduction before it",
    ),
    same(
        "optimizer/norm",
        &["always", "if (lane == 0u)"],
        "every lane has the whole sums, and writes the same",
    ),
    same(
        "optimizer/norm",
        &["the other comparison", "if (lane == 0u)"],
        "every lane has the whole sums, and writes the same",
    ),
    same(
        "optimizer/norm",
        &["another number", "if (lane == 0u)"],
        "every lane has the whole sums, and writes the same",
    ),
    same(
        "optimizer/squares",
        &["always", "if (lane == 0u)"],
        "every lane has the whole sums, and writes the same",
    ),
    same(
        "optimizer/squares",
        &["the other comparison", "if (lane == 0u)"],
        "every lane has the whole sums, and writes the same",
    ),
    same(
        "optimizer/squares",
        &["another number", "if (lane == 0u)"],
        "every lane has the whole sums, and writes the same",
    ),
    same(
        "optimizer/norm",
        &["left out", "reduce_max: `workgroupBarrier"],
        "the first lane alone takes the results, and reads each before it writes for the next",
    ),
    same(
        "optimizer/norm",
        &["second argument", "let nan = bitcast<f32>(select("],
        "it is taken only where it is NaN",
    ),
    same(
        "optimizer/norm",
        &["`0u` → `1u`", "let nan = bitcast<f32>(select("],
        "it is taken only where it is NaN",
    ),
    same(
        "optimizer/squares",
        &["left out", "reduce_max: `workgroupBarrier"],
        "the first lane alone takes the results, and reads each before it writes for the next",
    ),
    same(
        "optimizer/squares",
        &["second argument", "let nan = bitcast<f32>(select("],
        "it is taken only where it is NaN",
    ),
    same(
        "optimizer/squares",
        &["`0u` → `1u`", "let nan = bitcast<f32>(select("],
        "it is taken only where it is NaN",
    ),
    same(
        "pooling/mean_max",
        &["left out", "reduce_max: `workgroupBarrier"],
        "the first lane alone takes the results, and reads each before it writes for the next",
    ),
    same("reduction/sum", &["left out", "reduce_add: `workgroupBarrier"], "there is no reduction before it"),
    same("reduction/sum", &["always", "lane == 0u"], "every lane has the whole sum, and writes the same"),
    same(
        "normalization/softmax_gradient",
        &["left out", "reduce_add: `workgroupBarrier"],
        "there is no reduction before it",
    ),
    same(
        "pooling/pool_gradient",
        &["lane_of(invocation)` → `invocation`"],
        "no variant leaves rows to one invocation",
    ),
    same("pooling/pool_gradient", &["row_of(", "first argument"], "no variant leaves rows to one invocation"),
    same(
        "pooling/pool_gradient",
        &["always", "main: `if (parameters.normalize != 0u)"],
        "without a norm nothing of it is taken",
    ),
    same(
        "pooling/pool_gradient",
        &["`parameters.normalize` → `parameters.rows`", "main: `if (parameters.normalize != 0u)"],
        "without a norm nothing of it is taken",
    ),
    same("pooling/mean_max", &["always", "lane == 0u"], "every lane has the whole sum, and writes the same"),
    same(
        "normalization/layer_norm",
        &["&& lane == 0u` →"],
        "every lane has the whole sums, and writes the same",
    ),
    same("normalization/softmax", &["first argument", "`max(number_or_lowest"], EXP),
    same(
        "normalization/softmax",
        &["`number_or_lowest(value, kind)` → `value`", "exp("],
        "of what is no number the weight is 0",
    ),
    same(
        "normalization/softmax",
        &["`number_or_lowest(value, kind)` → `value`", "largest ="],
        "−∞ is no larger; others make the row NaN",
    ),
    same(
        "normalization/softmax",
        &["`select(0u, NAN_BITS, not_a_number)` → `NAN_BITS`"],
        "it is taken in NaN rows alone",
    ),
    same("normalization/softmax", &["`0u` → `1u`", "select(0u, NAN_BITS"], "it is taken in NaN rows alone"),
    same(
        "loss/cross_entropy",
        &["left out", "reduce_add: `workgroupBarrier"],
        "of what is reduced before it the first lane alone takes the result",
    ),
    same("loss/cross_entropy", &["first argument", "`max(number_or_lowest"], EXP),
    same(
        "loss/cross_entropy",
        &["`number_or_lowest(value, kind)` → `value`", "largest ="],
        "−∞ is no larger; others make the row NaN",
    ),
    same(
        "loss/cross_entropy",
        &["no right operand", "`0.33333334 - others * 0.25` →"],
        "the last term is 2e-7 at most, below the case's floor",
    ),
    same(
        "loss/cross_entropy",
        &["second argument", "let columns = select(0u"],
        "what comes of an ignored row is not written",
    ),
    same(
        "loss/cross_entropy",
        &["`0u` → `1u`", "let columns = select(0u"],
        "what comes of an ignored row is not written",
    ),
    same("loss/cross_entropy", &["no left operand", "let asked ="], INFINITE),
    same("loss/cross_entropy", &["no right operand", "let asked ="], INFINITE),
    same("loss/cross_entropy", &["`0.0` → `1.0`", "let asked ="], INFINITE),
    same("loss/cross_entropy", &["left out", "main: `infinite = max("], INFINITE),
    same("loss/cross_entropy", &["first argument", "`max(infinite, select("], INFINITE),
    same("loss/cross_entropy", &["second argument", "`max(infinite, select("], INFINITE),
    same("loss/cross_entropy", &["first argument", "`select(0.0, 1.0, asked"], INFINITE),
    same("loss/cross_entropy", &["`1.0` → `0.0`", "main: `infinite = max("], INFINITE),
    same("loss/cross_entropy", &["main: `infinite = reduce_max("], INFINITE),
    same("loss/cross_entropy", &["`nan || infinite > 0.0` → `nan`"], INFINITE),
    same("loss/cross_entropy", &["`0.0` → `1.0`", "main: `losses[row] ="], INFINITE),
    same(
        "loss/cross_entropy",
        &["second argument", "`select(0.0, select(others"],
        "without columns the sums are 0",
    ),
    same(
        "loss/cross_entropy",
        &["second argument", "`select(0.0, select(sum"],
        "without columns the sums are 0",
    ),
    same(
        "loss/cross_entropy",
        &["always", "if (lane == 0u)"],
        "every lane has the whole sums, and writes the same",
    ),
    same(
        "loss/cross_entropy",
        &["`number_or_lowest(value, kind)` → `value`", "exp("],
        "of what is no number the weight is 0",
    ),
    same("loss/cross_entropy_gradient", &["first argument", "`max(number_or_lowest"], EXP),
    same(
        "loss/cross_entropy_gradient",
        &["`number_or_lowest(value, kind)` → `value`", "exp("],
        "of what is no number the weight is 0",
    ),
    same(
        "loss/cross_entropy_gradient",
        &["never", "is_nan(sum)"],
        "llvmpipe's division and products keep a NaN",
    ),
    same(
        "loss/cross_entropy_gradient",
        &["left out", "`dx[index] = sum;`"],
        "what a case's output holds before is a NaN too",
    ),
    same(
        "optimizer/norm",
        &["second argument", "select(0.0, x[place]"],
        "where a block's sum is no number, that of all is not written",
    ),
    same(
        "optimizer/norm",
        &["`0.0` → `1.0`", "select(0.0, x[place]"],
        "where a block's sum is no number, that of all is not written",
    ),
    // recurrent, vision, ceiling
    same("recurrent/gru", &["is_nan(", "let strange ="], NAN),
    same("recurrent/gru", &["first argument", "`select(after,"], NAN),
    same("recurrent/gru_gradient", &["`is_nan(reset_sum) ||` →"], "then new_sum is NaN too, on llvmpipe"),
    same("recurrent/gru_gradient", &["`|| is_nan(update_sum)` →"], NAN),
    same(
        "recurrent/gru_gradient",
        &["`|| is_nan(upstream)` →"],
        "then every product with it is NaN on llvmpipe",
    ),
    same("recurrent/gru_gradient", &["left out", "of_update = nan;"], NAN),
    same("vision/deformable_attention", &["is_nan(x)", "let inside_x"], STRANGE),
    same("vision/deformable_attention", &["is_nan(y)", "let inside_y"], STRANGE),
    same(
        "ceiling/copy",
        &["one further", "step < VECTORS"],
        "what the next invocation copies is copied twice",
    ),
    same("ceiling/multiply_add", &["`FUSED`"], "a sum rounded once or twice: both are within the bounds"),
];

impl Equivalent {
    /// Whether a kernel's fault in a file, of that name, is one of these.
    pub fn is(&self, kernel: &str, file: &str, name: &str) -> bool {
        [kernel, file].contains(&self.place) && self.parts.iter().all(|part| name.contains(part))
    }

    /// Whether it is none where all its mutants were caught: those of a shared file only where all kernels ran.
    pub fn is_refuted(&self, all: bool) -> bool {
        !self.by_chance && (all || !self.place.starts_with("shared/"))
    }
}

impl std::fmt::Display for Equivalent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} ({})", self.place, self.parts, self.why)
    }
}
