// Queries as they are stored.
#import attention/queries_aligned if ALIGNED
#import attention/queries_unaligned if !ALIGNED
