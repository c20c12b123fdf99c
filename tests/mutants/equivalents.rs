//! Faults of the operators that no case can see on llvmpipe: the kernel computes the same with them, or does there.

/// Faults that are not asked for.
pub struct Equivalent {
    /// A kernel, or a file of `shaders/` without its ending: then in every kernel that takes it.
    place: &'static str,
    /// What their names have in them (`Faults::name`): parts of the line, of the change, the operator.
    parts: &'static [&'static str],
    /// Why it is no fault.
    why: &'static str,
}

const fn same(place: &'static str, parts: &'static [&'static str], why: &'static str) -> Equivalent {
    Equivalent { place, parts, why }
}

/// Lanes that add what no step reads any more, or beside a step: subgroups run one after the other there, so the lane that is read
/// has not yet added.
const RACE: &str = "a lane adds to what another reads in the same step, which reads first on llvmpipe";

pub const EQUIVALENTS: &[Equivalent] = &[
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
        &["`& 0x3ffu` → ``", "INFINITY"],
        "the bits above the fraction are among those of INFINITY",
    ),
    same("elementwise/cast", &["`& 0xffffu` → ``"], "`widen` takes the low half alone"),
    same("shared/activation", &["`0.0` → `1.0`", "exp(-a * q)"], "it counts only where |x| is above 1"),
    same("shared/activation", &["first argument", "is_nan(x)"], "llvmpipe's exp keeps a NaN"),
    same("elementwise/activate", &["first argument", "is_nan(value)"], "llvmpipe's exp keeps a NaN"),
    same("shared/tanh", &["t * 0.021869488` → ``"], "the last term is 8e-8 at most, below the cases' floors"),
    same(
        "shared/tanh",
        &["`+` → `-`", "0.021869488"],
        "the last term is 8e-8 at most, below the cases' floors",
    ),
    // rows
    same("shared/reduce/rows_workgroup", &["if (lane < stride)", "always"], RACE),
    same("shared/reduce/rows_workgroup", &["if (lane < stride)", "one further"], RACE),
    same(
        "pooling/pool",
        &["lane_of(invocation)` → `invocation`"],
        "no variant leaves rows to one invocation",
    ),
    same("pooling/pool", &["row_of(", "first argument"], "no variant leaves rows to one invocation"),
    same(
        "pooling/pool",
        &["one further", "column < parameters.columns"],
        "the next row, which comes later, writes there itself; behind the last one the guard's NaN stays that NaN",
    ),
    same("pooling/mean_max", &["always", "lane == 0u"], "every lane has the whole sum, and writes the same"),
];

impl Equivalent {
    /// Whether a kernel's fault in a file, of that name, is one of these.
    pub fn is(&self, kernel: &str, file: &str, name: &str) -> bool {
        [kernel, file].contains(&self.place) && self.parts.iter().all(|part| name.contains(part))
    }

    pub fn is_of_a_kernel(&self) -> bool {
        !self.place.starts_with("shared/")
    }
}

impl std::fmt::Display for Equivalent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} ({})", self.place, self.parts, self.why)
    }
}
