//! Tries writes again that the store did not take before ([`crate::store::owed`]).

use super::Store;
use crate::error::Fault;

impl Store {
    /// How many writes are not durable yet: those that failed and are kept, those that wait for others, and those in progress.
    pub fn owes(&self) -> usize {
        self.debts().len() + self.later().len()
    }

    /// Writes the entries that wait, then tries the kept writes again in their order.
    /// Stops at the first one that finds the store out of reach.
    pub async fn pay(&self) {
        self.flush().await;
        let mut rest = self.debts().take();
        let mut paid = 0_usize;
        while let Some(write) = rest.pop_front() {
            let again = write.clone();
            match self.reserved().write(move |db| again(db)).await {
                Ok(()) => paid += 1,
                Err(failure) => {
                    let is_out_of_reach = matches!(
                        failure.fault(),
                        Fault::StoreUnavailable
                            | Fault::StoreSlow
                            | Fault::StoreUnsafe
                            | Fault::Overloaded
                            | Fault::NoRoom
                    );
                    self.debts().keep(write, &failure);
                    if is_out_of_reach {
                        break;
                    }
                }
            }
        }
        self.debts().put_back(rest);
        if paid > 0 {
            tracing::info!(writes = paid, "the writes that waited for the store are made");
        }
    }
}
