// ethers v6: deploys, trades, reads, and meets every refusal that a wallet meets.

import { artefact, authoritySecret, ETHER, GWEI, need, NEVER, pause, PLAIN, refusal, secret, show, url } from "./common.mjs";

const { Contract, ContractFactory, JsonRpcProvider, Wallet, WebSocketProvider, keccak256 } = need("ethers");

const provider = new JsonRpcProvider(url, undefined, { pollingInterval: 30, cacheTimeout: -1 });
const wallet = new Wallet(secret, provider);
// What fixes a transaction's hash; where it is left out, the client asks the node.
const fees = { maxFeePerGas: 100n * GWEI, maxPriorityFeePerGas: GWEI, gasLimit: 300_000n };
const oldFees = { gasPrice: 100n * GWEI, gasLimit: 300_000n };
// Kept up from the beginning: ethers tells nobody of the first block that it sees, and here an idle chain makes no second one.
provider.on("block", () => {});

async function mined(promise) {
  const sent = await promise;
  const receipt = await sent.wait();
  return [receipt.toJSON(), (await provider.getTransaction(sent.hash)).toJSON()];
}

// --- the network, and two contracts ---------------------------------------------------------------------------------

show("network", { chain: (await provider.getNetwork()).chainId, nonce: await wallet.getNonce("pending") });
show("balance", await provider.getBalance(wallet.address, 0));

async function deploy(name, ...args) {
  const { abi, bytecode } = artefact(name);
  const contract = await new ContractFactory(abi, bytecode, wallet).deploy(...args);
  const { status, contractAddress, gasUsed } = await contract.deploymentTransaction().wait();
  show(`deploy ${name}`, { status, contractAddress, gasUsed });
  return contract;
}
const token = await deploy("Token", "Token of ethers", "TKE", 10n ** 24n);
const market = await deploy("Exchange", await token.getAddress());
const place = await market.getAddress();
show("the token", [await token.name(), await token.symbol(), await token.decimals(), await token.issuer()]);
show("code", keccak256(await provider.getCode(place)));

// --- trade, with a transaction of each type ---------------------------------------------------------------------------

const accessList = [{ address: place, storageKeys: ["0x" + "00".repeat(32), "0x" + "01".repeat(32)] }];
show("legacy: approve", await mined(token.approve(place, 2n ** 256n - 1n, { ...oldFees, type: 0 })));
show("2930: add liquidity", await mined(market.add_liquidity(10n ** 22n, 0, NEVER, { ...oldFees, type: 1, accessList, value: 10n * ETHER })));
show("estimate", await market.swap_ether.estimateGas(1, NEVER, { value: ETHER }));
const swap = await market.swap_ether(1, NEVER, { ...fees, value: ETHER });
show("1559: swap ether", await mined(swap));
const sold = await market.swap_tokens(10n ** 20n, 1, NEVER);
show("all by default: swap tokens", (await sold.wait()).status);

const authority = new Wallet(authoritySecret, provider);
show("a new account", await mined(wallet.sendTransaction({ ...fees, to: authority.address, value: 1n })));
const authorizationList = [await authority.authorize({ address: await token.getAddress(), nonce: 0 })];
const data = token.interface.encodeFunctionData("approve", [PLAIN, 5]);
show("7702", await mined(wallet.sendTransaction({ ...fees, type: 4, to: authority.address, data, authorizationList })));
show("7702: code", await provider.getCode(authority.address));
show("7702: storage", await new Contract(authority.address, token.interface, provider).allowance(wallet.address, PLAIN));

// --- read -------------------------------------------------------------------------------------------------------------

show("call", [await market.quote_ether(ETHER), await market.ether_reserve(), await token.balanceOf(wallet.address)]);
const receipt = await provider.getTransactionReceipt(swap.hash);
show("call in the past", await token.balanceOf(place, { blockTag: receipt.blockNumber - 1 }));
const events = await market.queryFilter("*", 0);
show("logs", events.map((event) => [event.eventName, event.args, event.index]));
show("logs by topic", (await market.queryFilter(market.filters.Swapped(wallet.address), 0)).length);
const block = await provider.getBlock(receipt.blockNumber, true);
show("block", block.toJSON());
show("block by hash", (await provider.getBlock(receipt.blockHash)).hash === block.hash);
show("the transaction in it", block.prefetchedTransactions.map((tx) => tx.toJSON()));
show("receipts of a block", await provider.send("eth_getBlockReceipts", [block.hash]));
show("storage", await provider.getStorage(place, 0));
show("fees", Object.keys((await provider.getFeeData()).toJSON()));
show("fee history", await provider.send("eth_feeHistory", ["0x2", "latest", [25, 75]]));
show("proof", await provider.send("eth_getProof", [place, ["0x" + "00".repeat(32)], "latest"]));
show("nothing there", [
  await provider.getTransactionReceipt("0x" + "12".repeat(32)),
  await provider.getTransaction("0x" + "12".repeat(32)),
  await provider.getBlock(0xfffffff),
]);

// --- what is refused, and what reverts --------------------------------------------------------------------------------

const told = ({ code, reason, data }) => ({ code, reason, data });
show("revert: estimate", await refusal(market.swap_ether(1, 0, { value: 1 }), told));
show("revert: call", await refusal(market.swap_ether.staticCall(1, 0, { value: 1 }), told));
const late = await market.swap_ether(1, 0, { ...fees, value: 1 });
show("revert: mined", await refusal(late.wait(), (error) => [error.code, error.receipt.toJSON()]));
const code = (error) => error.code;
const plain = { ...fees, to: PLAIN };
show("refused: a spent nonce", await refusal(wallet.sendTransaction({ ...plain, nonce: 0 }), code));
show("refused: too poor", await refusal(wallet.sendTransaction({ ...plain, value: 10n ** 30n }), code));

// --- a nonce gap, and what is replaced while it waits behind it ---------------------------------------------------------

const nonce = await wallet.getNonce("pending");
const first = await wallet.sendTransaction({ ...plain, nonce: nonce + 1, value: 1 });
show("behind a gap", [(await provider.getTransaction(first.hash)).toJSON(), await provider.getTransactionReceipt(first.hash)]);
show("behind a gap: nonces", [(await wallet.getNonce("pending")) - nonce, (await wallet.getNonce("latest")) - nonce]);
show("refused: as cheap", await refusal(wallet.sendTransaction({ ...plain, nonce: nonce + 1, value: 2 }), code));
const dearer = { ...plain, maxFeePerGas: 150n * GWEI, maxPriorityFeePerGas: 2n * GWEI };
const second = await wallet.sendTransaction({ ...dearer, nonce: nonce + 1, value: 2 });
const waiting = first.replaceableTransaction(await provider.getBlockNumber()).wait();
await Promise.all([
  refusal(waiting, ({ code, reason, cancelled, replacement, receipt }) => show("replaced", [code, reason, cancelled, replacement.hash, receipt.status])),
  pause(100).then(() => mined(wallet.sendTransaction({ ...plain, nonce }))), // it listens by then
]);
show("replaced: both", [await provider.getTransactionReceipt(first.hash), (await second.wait()).status]);
show("nonces at the end", [await wallet.getNonce("pending"), await wallet.getNonce("latest")]);

// --- sending and waiting in one call (EIP-7966), and events as they come ---------------------------------------------------

const signed = await wallet.signTransaction(await wallet.populateTransaction({ ...plain, value: 3 }));
show("sent and waited", await provider.send("eth_sendRawTransactionSync", [signed]));

const got = (contract) => new Promise((resolve) => contract.once(contract.filters.Transfer(wallet.address, PLAIN), (from, to, amount) => resolve([from, to, amount])));
const seen = got(token);
const socket = new WebSocketProvider(url.replace("http", "ws"));
const overSocket = got(token.connect(socket));
const head = new Promise((resolve) => socket.once("block", resolve));
const waits = new Promise((resolve) => socket.once("pending", resolve));
show("calls over the socket", [await socket.getTransactionCount(wallet.address), (await socket.getNetwork()).chainId]);
await pause(300); // all of them are in place by then
const last = await token.transfer(PLAIN, 77, fees);
await mined(last);
show("an event as it comes", [await seen, await overSocket, typeof (await head), (await waits) === last.hash]);
// An event's own unsubscribing may be under way still, and ethers lets nobody wait for it.
process.on("unhandledRejection", (error) => {
  if (error.operation !== "eth_unsubscribe") throw error;
});
await socket.destroy();
provider.destroy();
