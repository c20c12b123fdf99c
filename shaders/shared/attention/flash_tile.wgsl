// How `flash_tiled`, `flash_subgroup`, `flash_subgroup8` and `flash_cooperative` divide the work: a workgroup takes some queries of a
// head, and the keys of one split that any of them sees.

#import attention/parameters

struct Tile {
    batch: u32,
    head: u32,
    key_head: u32,
    split: u32,
    first_query: u32,
    // Queries of the tile; 0 where its item has fewer than the longest, and for a workgroup that has no tile.
    queries: u32,
    span: Span,
    // The keys that it visits.
    begin: u32,
    end: u32,
}

// The tile of a workgroup, of up to `rows` queries.
fn tile_of(workgroup: u32, rows: u32) -> Tile {
    let number = parameters.first_tile + workgroup;
    let row_tiles = (parameters.query_length + rows - 1u) / rows;
    let first_query = number % row_tiles * rows;
    let head = number / row_tiles % parameters.heads;
    let batch = number / row_tiles / parameters.heads % parameters.batches;
    let split = number / row_tiles / parameters.heads / parameters.batches;
    let key_head = head / parameters.heads_per_key;
    let item_queries = query_count(batch);
    let left = select(0u, item_queries - min(item_queries, first_query), workgroup < parameters.tiles);
    let queries = min(left, rows);
    let last_query = first_query + max(queries, 1u) - 1u;
    // The bounds only rise from one query to the next.
    let span = span_of_item(batch);
    let split_begin = split * parameters.split_keys;
    let begin = max(band_of_query(span, first_query).begin, split_begin);
    var end = band_of_query(span, last_query).end;
    if (parameters.splits > 1u) {
        end = min(end, split_begin + parameters.split_keys);
    }
    end = select(end, 0u, queries == 0u);
    return Tile(batch, head, key_head, split, first_query, queries, span, begin, end);
}
