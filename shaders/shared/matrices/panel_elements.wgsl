// Panels of f16 in workgroup memory, one by one: Metal takes matrices from scalars alone. Places count elements.
const PANEL_WORD: u32 = 1u;
alias PanelWord = f16;

var<workgroup> panels: array<PanelWord, PANEL_ELEMENTS>;

fn put(place: u32, values: vec4<f16>) {
    panels[place] = values.x;
    panels[place + 1u] = values.y;
    panels[place + 2u] = values.z;
    panels[place + 3u] = values.w;
}

fn element_at(place: u32) -> f16 {
    return panels[place];
}
