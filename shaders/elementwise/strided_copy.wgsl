// y[place(i)] = x[x_first + Σ index_k(i) · stride_k]: the elements of x from one on along other axes, those of stride 0
// repeated, into some neighbouring columns of y's rows. Axis 0 is the last, the one that moves fastest.

#import indexing
#import walk

struct Parameters {
    elements: u32,
    x_first: u32,
    // The first element of y that is written.
    y_first: u32,
    // The columns of each row that are written, and from one row to the next.
    y_columns: u32,
    y_row: u32,
    #for i in 0..8
    size_{i}: u32,
    #end
    #for i in 0..8
    stride_{i}: u32,
    #end
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

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
    var walk = walk_axis(Walk(index, parameters.x_first), parameters.size_0, parameters.stride_0);
    #for i in 1..8
    walk = walk_axis(walk, parameters.size_{i}, parameters.stride_{i});
    #end
    let row = index / parameters.y_columns;
    let column = index % parameters.y_columns;
    y[parameters.y_first + row * parameters.y_row + column] = x[walk.place];
}
