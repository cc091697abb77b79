//! Another block for one call, or the blocks of a simulation.

use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, U256};
use revm::context::BlockEnv;
use revm::context_interface::block::BlobExcessGasAndPrice;
use serde_json::Value;

use super::read::{array, fixed, malformed, narrow, object, quantity, string};
use super::{Applied, Refusal};

/// Most withdrawals in a block's overrides.
const MAX_WITHDRAWALS: usize = 1_024;

/// What is to be different about a block.
#[derive(Clone, Debug, Default)]
pub struct BlockOverrides {
    pub number: Option<U256>,
    pub time: Option<u64>,
    pub gas_limit: Option<u64>,
    pub fee_recipient: Option<Address>,
    pub prev_randao: Option<B256>,
    pub difficulty: Option<U256>,
    pub base_fee: Option<u64>,
    pub blob_base_fee: Option<u128>,
    pub beacon_root: Option<B256>,
    pub withdrawals: Option<Vec<Withdrawal>>,
}

impl BlockOverrides {
    pub fn parse(value: &Value) -> Applied<Self> {
        let fields = object("blockOverrides", value)?;
        let get = |field: &str| fields.get(field).filter(|value| !value.is_null());
        let number = |field: &str| quantity(&format!("blockOverrides.{field}"), get(field));
        let hash = |field: &str| {
            let what = format!("blockOverrides.{field}");
            get(field)
                .map(|value| string(&what, value).and_then(|text| fixed(&what, text)))
                .transpose()
                .map(|hash| hash.map(B256::new))
        };
        let what = "blockOverrides.feeRecipient";
        Ok(Self {
            number: number("number")?,
            time: narrow("blockOverrides.time", number("time")?)?,
            gas_limit: narrow("blockOverrides.gasLimit", number("gasLimit")?)?,
            fee_recipient: get("feeRecipient")
                .map(|value| string(what, value).and_then(|text| fixed(what, text)))
                .transpose()?
                .map(Address::new),
            prev_randao: hash("prevRandao")?,
            difficulty: number("difficulty")?,
            base_fee: narrow("blockOverrides.baseFeePerGas", number("baseFeePerGas")?)?,
            blob_base_fee: narrow("blockOverrides.blobBaseFee", number("blobBaseFee")?)?,
            beacon_root: hash("beaconRoot")?,
            withdrawals: get("withdrawals").map(withdrawals).transpose()?,
        })
    }

    /// For a call in a block that is there: not what only a new block could have.
    pub fn apply(&self, block: &mut BlockEnv) -> Applied<()> {
        let unsupported = [
            ("beaconRoot", self.beacon_root.is_some()),
            ("withdrawals", self.withdrawals.is_some()),
        ];
        if let Some((name, _)) = unsupported.into_iter().find(|(_, given)| *given) {
            return Err(Refusal::Contradiction(format!(
                "block override \"{name}\" is not supported for this RPC method"
            )));
        }
        block.number = self.number.unwrap_or(block.number);
        block.difficulty = self.difficulty.unwrap_or(block.difficulty);
        block.timestamp = self.time.map_or(block.timestamp, U256::from);
        block.gas_limit = self.gas_limit.unwrap_or(block.gas_limit);
        block.beneficiary = self.fee_recipient.unwrap_or(block.beneficiary);
        block.prevrandao = self.prev_randao.or(block.prevrandao);
        block.basefee = self.base_fee.unwrap_or(block.basefee);
        self.set_blob_base_fee(block);
        Ok(())
    }

    pub fn set_blob_base_fee(&self, block: &mut BlockEnv) {
        if let Some(price) = self.blob_base_fee {
            block.blob_excess_gas_and_price = Some(BlobExcessGasAndPrice {
                excess_blob_gas: block
                    .blob_excess_gas_and_price
                    .map_or(0, |blob| blob.excess_blob_gas),
                blob_gasprice: price,
            });
        }
    }
}

fn withdrawals(value: &Value) -> Applied<Vec<Withdrawal>> {
    let what = "blockOverrides.withdrawals";
    let items = array(what, value)?;
    if items.len() > MAX_WITHDRAWALS {
        return Err(Refusal::TooMuch(format!(
            "too many withdrawals: {}, the limit is {MAX_WITHDRAWALS}",
            items.len()
        )));
    }
    let one = |item: &Value| {
        let fields = object(what, item)?;
        let number = |field: &str| -> Applied<u64> {
            let value = quantity(what, fields.get(field))?;
            Ok(narrow(what, value)?.unwrap_or_default())
        };
        let address = match fields.get("address") {
            Some(address) => fixed(what, string(what, address)?)?,
            None => return malformed(what, "an address in each"),
        };
        Ok(Withdrawal {
            index: number("index")?,
            validator_index: number("validatorIndex")?,
            address: Address::new(address),
            amount: number("amount")?,
        })
    };
    items.iter().map(one).collect()
}
