// output[b, q, h·D + d] = Σ_l Σ_p weights[b, q, h, l, p] · sample_l(reference + offset), the sample of element d of head h
// of the values of level l, bilinear, where what lies outside of a level is 0.

#import indexing
#import is_nan

struct Parameters {
    // Elements of the output: batch · queries · heads · head_dim.
    elements: u32,
    queries: u32,
    heads: u32,
    head_dim: u32,
    // Values of a batch item: of all levels together.
    positions: u32,
    levels: u32,
    points: u32,
    // 1 where references are boxes: their middle, width and height.
    boxes: u32,
    // 1 where padding tells which values take part.
    has_padding: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> values: array<f32>;
// Height, width and first value of each level.
@group(0) @binding(2) var<storage, read> shapes: array<u32>;
@group(0) @binding(3) var<storage, read> references: array<f32>;
@group(0) @binding(4) var<storage, read> offsets: array<f32>;
@group(0) @binding(5) var<storage, read> weights: array<f32>;
@group(0) @binding(6) var<storage, read> padding: array<u32>;
@group(0) @binding(7) var<storage, read_write> output: array<f32>;

// Where a query's values of one level, head and element lie.
struct Level {
    height: i32,
    width: i32,
    // The first in values, and in padding.
    first: u32,
    position: u32,
}

// The value in a row and a column of a level; 0 outside of it and where it is padding.
fn value_at(level: Level, row: i32, column: i32) -> f32 {
    var value = 0.0;
    if (row >= 0 && row < level.height && column >= 0 && column < level.width) {
        let at = u32(row * level.width + column);
        var there = true;
        if (parameters.has_padding != 0u) {
            there = padding[level.position + at] != 0u;
        }
        if (there) {
            value = values[level.first + at * (parameters.heads * parameters.head_dim)];
        }
    }
    return value;
}

fn sample(level: Level, x: f32, y: f32) -> f32 {
    // Further out it is 0 as well, and a number that fits an i32; what is none is told by the caller.
    let inside_x = clamp(select(x, -2.0, is_nan(x)), -2.0, f32(level.width) + 1.0);
    let inside_y = clamp(select(y, -2.0, is_nan(y)), -2.0, f32(level.height) + 1.0);
    let left = floor(inside_x);
    let top = floor(inside_y);
    let right_part = inside_x - left;
    let lower_part = inside_y - top;
    let column = i32(left);
    let row = i32(top);
    let upper = value_at(level, row, column) * (1.0 - right_part)
        + value_at(level, row, column + 1) * right_part;
    let lower = value_at(level, row + 1, column) * (1.0 - right_part)
        + value_at(level, row + 1, column + 1) * right_part;
    return upper * (1.0 - lower_part) + lower * lower_part;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let index = workgroup_index(id, count) * WORKGROUP + invocation;
    if (index >= parameters.elements) {
        return;
    }
    let width = parameters.heads * parameters.head_dim;
    let query = index / width;
    let batch = query / parameters.queries;
    let head = index % width / parameters.head_dim;
    let size = select(2u, 4u, parameters.boxes != 0u);
    var sum = 0.0;
    // A location that is no number.
    var strange = 0.0;
    for (var l = 0u; l < parameters.levels; l = l + 1u) {
        var level: Level;
        level.height = i32(shapes[3u * l]);
        level.width = i32(shapes[3u * l + 1u]);
        level.position = batch * parameters.positions + shapes[3u * l + 2u];
        level.first = level.position * width + index % width;
        let reference = (query * parameters.levels + l) * size;
        let across = f32(level.width);
        let down = f32(level.height);
        for (var p = 0u; p < parameters.points; p = p + 1u) {
            let point = ((query * parameters.heads + head) * parameters.levels + l) * parameters.points + p;
            // Offsets count elements of the level; those from a box, halves of it over the number of points.
            var step_x = 1.0;
            var step_y = 1.0;
            if (parameters.boxes != 0u) {
                step_x = references[reference + 2u] * 0.5 / f32(parameters.points) * across;
                step_y = references[reference + 3u] * 0.5 / f32(parameters.points) * down;
            }
            let x = references[reference] * across + offsets[2u * point] * step_x - 0.5;
            let y = references[reference + 1u] * down + offsets[2u * point + 1u] * step_y - 0.5;
            strange = max(strange, select(0.0, 1.0, is_nan(x) || is_nan(y)));
            sum = sum + weights[point] * sample(level, x, y);
        }
    }
    // Constants of these bits would be folded to what WGSL does not allow.
    let nan = bitcast<f32>(0x7fc00000u | (parameters.elements & 0u));
    output[index] = select(sum, nan, strange > 0.0);
}
