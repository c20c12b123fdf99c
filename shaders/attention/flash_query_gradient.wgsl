// gradient[b, h, i, :] += Σ_j dS[i, j] · k[b, h', j, :], dS the gradient of the products q · k: that of fused attention's queries. A workgroup takes
// 32 queries of one head and goes over the keys that they see in tiles of 32. The gradient lies as the queries do.

#import attention/flash_gradient
#import attention/flash_tile
#import attention/parameters
#import component
#import indexing

@group(0) @binding(1) var<storage, read> q: array<QueryBlock>;
@group(0) @binding(2) var<storage, read> k: array<KeyBlock>;
@group(0) @binding(3) var<storage, read> v: array<ValueBlock>;
@group(0) @binding(4) var<storage, read> mask: array<u32>;
@group(0) @binding(5) var<storage, read> items: array<u32>;
@group(0) @binding(6) var<storage, read> head_terms: array<f32>;
@group(0) @binding(7) var<storage, read> upstream: array<UpstreamBlock>;
@group(0) @binding(8) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let tile = tile_of(workgroup_index(id, count), ROWS);
    if (tile.queries == 0u) {
        return;
    }
    let my_row = 4u * (invocation / 8u);
    let group = invocation % 8u;
    var accumulated: array<vec4<f32>, 4u * COLUMN_BLOCKS>;
    for (var first_key = tile.begin / KEYS * KEYS; first_key < tile.end; first_key = first_key + KEYS) {
        let square = Square(
            tile.batch, tile.head, tile.key_head, tile.first_query, tile.queries, first_key, tile.span,
        );
        fill_tile(square, invocation);
        for (var block = 0u; block < COLUMN_BLOCKS; block = block + 1u) {
            for (var element = invocation; element < KEYS * PANEL; element = element + LANES) {
                let key = min(first_key + element / PANEL, tile.span.keys - 1u);
                let place = k_place(tile.batch, tile.key_head, key);
                right_panel[element] = k_block(place, 4u * (PANEL * block + element % PANEL), parameters.head_dim);
            }
            workgroupBarrier();
            for (var r = 0u; r < 4u; r = r + 1u) {
                var sums = accumulated[4u * block + r];
                for (var key4 = 0u; key4 < KEYS / 4u; key4 = key4 + 1u) {
                    let place = 4u * key4 * PANEL + group;
                    sums += careful_sum(
                        bitcast<vec4<f32>>(score_tile[(my_row + r) * 8u + key4]),
                        right_panel[place],
                        right_panel[place + PANEL],
                        right_panel[place + 2u * PANEL],
                        right_panel[place + 3u * PANEL],
                    );
                }
                accumulated[4u * block + r] = sums;
            }
            workgroupBarrier();
        }
    }
    let base = q_place(tile.batch, tile.head, tile.first_query);
    for (var block = 0u; block < COLUMN_BLOCKS; block = block + 1u) {
        let first = 4u * (PANEL * block + group);
        for (var row = my_row; row < min(my_row + 4u, tile.queries); row = row + 1u) {
            let sums = accumulated[4u * block + row - my_row];
            for (var lane = 0u; lane < 4u; lane = lane + 1u) {
                if (first + lane < parameters.head_dim) {
                    let place = base + row * parameters.q_row + first + lane;
                    gradient[place] = gradient[place] + component(sums, lane);
                }
            }
        }
    }
}
