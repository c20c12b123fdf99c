// y[r, :] = layer norm of word[id_r] + position[p_r] (+ type[t_r]). A word table above the binding limit comes in parts:
// each dispatch has the ids from first_id on and leaves the rows of other ids alone.

#import indexing
#import linear/weight
#import reduce/rows

struct Parameters {
    rows: u32,
    columns: u32,
    first_id: u32,
    id_count: u32,
    epsilon: f32,
    has_types: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
// [3, rows]: the ids, the positions, the token types.
@group(0) @binding(1) var<storage, read> tokens: array<u32>;
@group(0) @binding(2) var<storage, read> weight: array<WeightWord>;
@group(0) @binding(3) var<storage, read> position: array<f32>;
@group(0) @binding(4) var<storage, read> token_type: array<f32>;
@group(0) @binding(5) var<storage, read> gamma: array<f32>;
@group(0) @binding(6) var<storage, read> beta: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;

struct Token {
    word: u32,
    position: u32,
    token_type: u32,
}

fn embedding(token: Token, column: u32) -> f32 {
    let sum = weight_at(token.word + column) + position[token.position + column];
    if (parameters.has_types != 0u) {
        return sum + token_type[token.token_type + column];
    }
    return sum;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let row = row_of(workgroup_index(id, count), invocation);
    let lane = lane_of(invocation);
    let columns = parameters.columns;
    let size = f32(columns);
    // Every lane of a row takes the same way, but only the loads show it: so the work is guarded, not the reductions.
    var work = 0u;
    var token = Token();
    if (row < parameters.rows) {
        let word = tokens[row] - parameters.first_id;
        if (word < parameters.id_count) {
            work = columns;
            token.word = word * columns;
            token.position = tokens[parameters.rows + row] * columns;
            token.token_type = tokens[2u * parameters.rows + row] * columns;
        }
    }
    var sum = 0.0;
    for (var column = lane; column < work; column = column + LANES) {
        sum = sum + embedding(token, column);
    }
    let mean = reduce_add(sum, lane) / size;
    var squares = 0.0;
    for (var column = lane; column < work; column = column + LANES) {
        let deviation = embedding(token, column) - mean;
        squares = squares + deviation * deviation;
    }
    let scale = 1.0 / sqrt(reduce_add(squares, lane) / size + parameters.epsilon);
    for (var column = lane; column < work; column = column + LANES) {
        y[row * columns + column] = (embedding(token, column) - mean) * scale * gamma[column] + beta[column];
    }
}
