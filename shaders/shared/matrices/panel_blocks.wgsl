// Panels of f16 in workgroup memory, in words of four: they are written four at a time. Places count elements.
const PANEL_WORD: u32 = 4u;
alias PanelWord = vec4<f16>;

var<workgroup> panels: array<PanelWord, PANEL_ELEMENTS / PANEL_WORD>;

fn put(place: u32, values: vec4<f16>) {
    panels[place / PANEL_WORD] = values;
}

fn element_at(place: u32) -> f16 {
    return panels[place / PANEL_WORD][place % PANEL_WORD];
}
