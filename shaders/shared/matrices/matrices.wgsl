// Cooperative matrices of the side that the device has, and how f16 is staged for them.
#import matrices/matrices_8 if SIDE == 8
#import matrices/matrices_16 if SIDE == 16
#import matrices/panel_blocks if PANEL_BLOCKS
#import matrices/panel_elements if !PANEL_BLOCKS
