// scores[b, h, i, j] = q[b, h, i, :] · k[b, h', j, :] for subgroups of exactly 8; h' is the key-value head of h. What
// `softmax_values_lanes` reads.
//
// A workgroup is one subgroup and computes TILE_ROWS × 32: each lane has 4 keys' columns of every row in registers. In each
// trip over 4 elements a lane loads q for one row of every 8 and k for its own keys; q then goes round by broadcasts from
// constant lanes. Rows and keys beyond the end are the last one again, and stored there again: nothing is asked for them.
// Tiles that the band of their rows rules out are left as they are: nothing reads them.
@group(0) @binding(1) var<storage, read> q: array<QueryBlock>;
@group(0) @binding(2) var<storage, read> k: array<KeyBlock>;
@group(0) @binding(3) var<storage, read> items: array<u32>;
// Rows of whole vec4s.
@group(0) @binding(4) var<storage, read_write> scores: array<vec4<f32>>;

fn load_keys(places: vec4<u32>, first: u32) -> Panel {
    let a = k_block(places.x, first, parameters.head_dim);
    let b = k_block(places.y, first, parameters.head_dim);
    let c = k_block(places.z, first, parameters.head_dim);
    let d = k_block(places.w, first, parameters.head_dim);
    return Panel(
        vec4<f32>(a.x, b.x, c.x, d.x),
        vec4<f32>(a.y, b.y, c.y, d.y),
        vec4<f32>(a.z, b.z, c.z, d.z),
        vec4<f32>(a.w, b.w, c.w, d.w),
    );
}

@compute @workgroup_size(SUBGROUP_SIZE)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile_columns = (parameters.key_length + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    let tile_rows = (parameters.queries + TILE_ROWS - 1u) / TILE_ROWS;
    let tile = workgroup_index(id, count);
    let part_head = tile / (tile_columns * tile_rows);
    if (part_head >= parameters.batch_heads) {
        return;
    }
    let batch_head = parameters.first_batch_head + part_head;
    let head = batch_head % parameters.heads;
    let batch = batch_head / parameters.heads;
    // Within the part.
    let first_row = tile / tile_columns % tile_rows * TILE_ROWS;
    let first_query = parameters.first_query + first_row;
    let queries = min(query_count(batch), parameters.first_query + parameters.queries);
    if (first_query >= queries) {
        return;
    }
    let rows = min(TILE_ROWS, queries - first_query);
    let tile_key = tile % tile_columns * TILE_COLUMNS;
    // The bounds only rise from one query to the next.
    let begin = band_of_query(batch, first_query).begin;
    let end = band_of_query(batch, first_query + rows - 1u).end;
    if (tile_key + TILE_COLUMNS <= begin || tile_key >= end) {
        return;
    }
    let block = min(tile_key / 4u + lane, (end - 1u) / 4u);
    let my_keys = min(4u * block + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(end - 1u));
    let key_head = head / parameters.heads_per_key;
    let places = vec4<u32>(
        k_place(batch, key_head, my_keys.x), k_place(batch, key_head, my_keys.y),
        k_place(batch, key_head, my_keys.z), k_place(batch, key_head, my_keys.w),
    );
    let last = rows - 1u;
    let left_rows = min(lane + vec4<u32>(0u, 8u, 16u, 24u), vec4<u32>(last));
    let left_places = q_place(batch, head, first_query) + left_rows * parameters.q_row;
    var row0 = vec4<f32>();
    var row1 = vec4<f32>();
    var row2 = vec4<f32>();
    var row3 = vec4<f32>();
    var row4 = vec4<f32>();
    var row5 = vec4<f32>();
    var row6 = vec4<f32>();
    var row7 = vec4<f32>();
    var row8 = vec4<f32>();
    var row9 = vec4<f32>();
    var row10 = vec4<f32>();
    var row11 = vec4<f32>();
    var row12 = vec4<f32>();
    var row13 = vec4<f32>();
    var row14 = vec4<f32>();
    var row15 = vec4<f32>();
    var row16 = vec4<f32>();
    var row17 = vec4<f32>();
    var row18 = vec4<f32>();
    var row19 = vec4<f32>();
    var row20 = vec4<f32>();
    var row21 = vec4<f32>();
    var row22 = vec4<f32>();
    var row23 = vec4<f32>();
    var row24 = vec4<f32>();
    var row25 = vec4<f32>();
    var row26 = vec4<f32>();
    var row27 = vec4<f32>();
    var row28 = vec4<f32>();
    var row29 = vec4<f32>();
    var row30 = vec4<f32>();
    var row31 = vec4<f32>();
    for (var first = 0u; first < parameters.head_dim; first = first + 4u) {
        let right = load_keys(places, first);
        let left0 = q_block(left_places.x, first, parameters.head_dim);
        row0 = multiply(row0, subgroupBroadcast(left0, 0u), right);
        row1 = multiply(row1, subgroupBroadcast(left0, 1u), right);
        row2 = multiply(row2, subgroupBroadcast(left0, 2u), right);
        row3 = multiply(row3, subgroupBroadcast(left0, 3u), right);
        row4 = multiply(row4, subgroupBroadcast(left0, 4u), right);
        row5 = multiply(row5, subgroupBroadcast(left0, 5u), right);
        row6 = multiply(row6, subgroupBroadcast(left0, 6u), right);
        row7 = multiply(row7, subgroupBroadcast(left0, 7u), right);
        if (TILE_ROWS >= 16u) {
            let left8 = q_block(left_places.y, first, parameters.head_dim);
            row8 = multiply(row8, subgroupBroadcast(left8, 0u), right);
            row9 = multiply(row9, subgroupBroadcast(left8, 1u), right);
            row10 = multiply(row10, subgroupBroadcast(left8, 2u), right);
            row11 = multiply(row11, subgroupBroadcast(left8, 3u), right);
            row12 = multiply(row12, subgroupBroadcast(left8, 4u), right);
            row13 = multiply(row13, subgroupBroadcast(left8, 5u), right);
            row14 = multiply(row14, subgroupBroadcast(left8, 6u), right);
            row15 = multiply(row15, subgroupBroadcast(left8, 7u), right);
        }
        if (TILE_ROWS >= 32u) {
            let left16 = q_block(left_places.z, first, parameters.head_dim);
            row16 = multiply(row16, subgroupBroadcast(left16, 0u), right);
            row17 = multiply(row17, subgroupBroadcast(left16, 1u), right);
            row18 = multiply(row18, subgroupBroadcast(left16, 2u), right);
            row19 = multiply(row19, subgroupBroadcast(left16, 3u), right);
            row20 = multiply(row20, subgroupBroadcast(left16, 4u), right);
            row21 = multiply(row21, subgroupBroadcast(left16, 5u), right);
            row22 = multiply(row22, subgroupBroadcast(left16, 6u), right);
            row23 = multiply(row23, subgroupBroadcast(left16, 7u), right);
            let left24 = q_block(left_places.w, first, parameters.head_dim);
            row24 = multiply(row24, subgroupBroadcast(left24, 0u), right);
            row25 = multiply(row25, subgroupBroadcast(left24, 1u), right);
            row26 = multiply(row26, subgroupBroadcast(left24, 2u), right);
            row27 = multiply(row27, subgroupBroadcast(left24, 3u), right);
            row28 = multiply(row28, subgroupBroadcast(left24, 4u), right);
            row29 = multiply(row29, subgroupBroadcast(left24, 5u), right);
            row30 = multiply(row30, subgroupBroadcast(left24, 6u), right);
            row31 = multiply(row31, subgroupBroadcast(left24, 7u), right);
        }
    }
    let row_blocks = parameters.scores_row / 4u;
    let to = (part_head * parameters.queries + first_row) * row_blocks + block;
    scores[to + min(0u, last) * row_blocks] = row0;
    scores[to + min(1u, last) * row_blocks] = row1;
    scores[to + min(2u, last) * row_blocks] = row2;
    scores[to + min(3u, last) * row_blocks] = row3;
    scores[to + min(4u, last) * row_blocks] = row4;
    scores[to + min(5u, last) * row_blocks] = row5;
    scores[to + min(6u, last) * row_blocks] = row6;
    scores[to + min(7u, last) * row_blocks] = row7;
    if (TILE_ROWS >= 16u) {
        scores[to + min(8u, last) * row_blocks] = row8;
        scores[to + min(9u, last) * row_blocks] = row9;
        scores[to + min(10u, last) * row_blocks] = row10;
        scores[to + min(11u, last) * row_blocks] = row11;
        scores[to + min(12u, last) * row_blocks] = row12;
        scores[to + min(13u, last) * row_blocks] = row13;
        scores[to + min(14u, last) * row_blocks] = row14;
        scores[to + min(15u, last) * row_blocks] = row15;
    }
    if (TILE_ROWS >= 32u) {
        scores[to + min(16u, last) * row_blocks] = row16;
        scores[to + min(17u, last) * row_blocks] = row17;
        scores[to + min(18u, last) * row_blocks] = row18;
        scores[to + min(19u, last) * row_blocks] = row19;
        scores[to + min(20u, last) * row_blocks] = row20;
        scores[to + min(21u, last) * row_blocks] = row21;
        scores[to + min(22u, last) * row_blocks] = row22;
        scores[to + min(23u, last) * row_blocks] = row23;
        scores[to + min(24u, last) * row_blocks] = row24;
        scores[to + min(25u, last) * row_blocks] = row25;
        scores[to + min(26u, last) * row_blocks] = row26;
        scores[to + min(27u, last) * row_blocks] = row27;
        scores[to + min(28u, last) * row_blocks] = row28;
        scores[to + min(29u, last) * row_blocks] = row29;
        scores[to + min(30u, last) * row_blocks] = row30;
        scores[to + min(31u, last) * row_blocks] = row31;
    }
}
