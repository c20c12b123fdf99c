//! The threads that `tokenizers` works on: rayon's, which it makes at the first batch. Where the system gives no more threads (a
//! container's limit, `ulimit -u`) rayon would panic then.

use std::error::Error as _;
use std::sync::Once;

/// Makes them now; without them texts are tokenized one after another.
pub(super) fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Err(error) = rayon::ThreadPoolBuilder::new().build_global()
            // Else there are some already: a host's.
            && error.source().is_some()
        {
            tokenizers::parallelism::set_parallelism(false);
        }
    });
}
