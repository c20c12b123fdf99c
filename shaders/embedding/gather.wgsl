// y[r, :] = scale * word[id_r] (+ position[p_r]), an invocation for each element. A table above the binding limit comes
// in parts: each dispatch has the ids from first_id on and leaves the rows of other ids alone.

#import indexing
#import linear/weight

struct Parameters {
    rows: u32,
    columns: u32,
    first_id: u32,
    id_count: u32,
    scale: f32,
    has_positions: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
// [2, rows]: the ids, the positions.
@group(0) @binding(1) var<storage, read> tokens: array<u32>;
@group(0) @binding(2) var<storage, read> weight: array<WeightWord>;
@group(0) @binding(3) var<storage, read> position: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let index = workgroup_index(id, count) * WORKGROUP + invocation;
    let columns = parameters.columns;
    if (index >= parameters.rows * columns) {
        return;
    }
    let row = index / columns;
    let column = index % columns;
    let word = tokens[row] - parameters.first_id;
    if (word >= parameters.id_count) {
        return;
    }
    var sum = parameters.scale * weight_at(word * columns + column);
    if (parameters.has_positions != 0u) {
        sum = sum + position[tokens[parameters.rows + row] * columns + column];
    }
    y[index] = sum;
}
