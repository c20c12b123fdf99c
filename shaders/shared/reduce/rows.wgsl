// A row for each workgroup, subgroup or invocation, as the implementation has it.
#import reduce/rows_workgroup if workgroup
#import reduce/rows_subgroup if subgroup
#import reduce/rows_invocation if invocation
