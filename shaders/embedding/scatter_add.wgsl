// y[destination, :] += scale · Σ dy[order[place], :] over a segment's places, an invocation for each segment and column. No two
// segments have the same destination.

#import indexing

struct Parameters {
    segments: u32,
    columns: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
// Of each segment: its first place, the one behind its last, its row of y.
@group(0) @binding(1) var<storage, read> segments: array<u32>;
// The row of dy at each place.
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let index = workgroup_index(id, count) * WORKGROUP + invocation;
    let columns = parameters.columns;
    if (index >= parameters.segments * columns) {
        return;
    }
    let segment = 3u * (index / columns);
    let column = index % columns;
    let end = segments[segment + 1u];
    var sum = 0.0;
    for (var place = segments[segment]; place < end; place = place + 1u) {
        sum = sum + dy[order[place] * columns + column];
    }
    let element = segments[segment + 2u] * columns + column;
    y[element] = y[element] + parameters.scale * sum;
}
