// viem: deploys, trades, reads, and meets every refusal that a wallet meets.

import { artefact, authoritySecret, ETHER, GWEI, need, NEVER, pause, PLAIN, refusal, secret, show, url } from "./common.mjs";

const { createPublicClient, createWalletClient, defineChain, http, webSocket, keccak256, BaseError, ContractFunctionRevertedError } = need("viem");
const { privateKeyToAccount } = need("viem/accounts");
const { encodeFunctionData, parseEventLogs } = need("viem");

const account = privateKeyToAccount(secret);
const transport = http(url, { retryCount: 0 });
const id = await createPublicClient({ transport }).getChainId();
const chain = defineChain({ id, name: "here", nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 }, rpcUrls: { default: { http: [url] } } });
const settings = { chain, transport, pollingInterval: 30, cacheTime: 0 };
const client = createPublicClient(settings);
const wallet = createWalletClient({ ...settings, account });
const fees = { maxFeePerGas: 100n * GWEI, maxPriorityFeePerGas: GWEI, gas: 300_000n };
const oldFees = { gasPrice: 100n * GWEI, gas: 300_000n };

async function mined(promise) {
  const hash = await promise;
  return [await client.waitForTransactionReceipt({ hash }), await client.getTransaction({ hash })];
}

// --- the network, and two contracts ---------------------------------------------------------------------------------

const nonceAt = (blockTag) => client.getTransactionCount({ address: account.address, blockTag });
show("network", { chain: id, nonce: await nonceAt("pending") });
show("balance", await client.getBalance({ address: account.address, blockNumber: 0n }));

async function deploy(name, ...args) {
  const { abi, bytecode } = artefact(name);
  const [{ status, contractAddress, gasUsed }] = await mined(wallet.deployContract({ abi, bytecode, args }));
  show(`deploy ${name}`, { status, contractAddress, gasUsed });
  return { address: contractAddress, abi };
}
const token = await deploy("Token", "Token of viem", "TKV", 10n ** 24n);
const market = await deploy("Exchange", token.address);
const ask = (contract, functionName, ...args) => client.readContract({ ...contract, functionName, args });
const tell = (contract, functionName, args, more) => wallet.writeContract({ ...contract, functionName, args, ...more });
show("the token", [await ask(token, "name"), await ask(token, "symbol"), await ask(token, "decimals"), await ask(token, "issuer")]);
show("code", keccak256(await client.getCode({ address: market.address })));

// --- trade, with a transaction of each type ---------------------------------------------------------------------------

const accessList = [{ address: market.address, storageKeys: ["0x" + "00".repeat(32), "0x" + "01".repeat(32)] }];
show("legacy: approve", await mined(tell(token, "approve", [market.address, 2n ** 256n - 1n], { ...oldFees, type: "legacy" })));
const added = tell(market, "add_liquidity", [10n ** 22n, 0n, NEVER], { ...oldFees, type: "eip2930", accessList, value: 10n * ETHER });
show("2930: add liquidity", await mined(added));
const { request, result } = await client.simulateContract({ ...market, functionName: "swap_ether", args: [1n, NEVER], value: ETHER, account });
show("a rehearsal", [request.functionName, result]);
show("estimate", await client.estimateContractGas({ ...market, functionName: "swap_ether", args: [1n, NEVER], value: ETHER, account }));
const swap = await mined(tell(market, "swap_ether", [1n, NEVER], { ...fees, value: ETHER }));
show("1559: swap ether", swap);
const [sold] = await mined(tell(market, "swap_tokens", [10n ** 20n, 1n, NEVER]));
show("all by default: swap tokens", sold.status);

const authority = privateKeyToAccount(authoritySecret);
show("a new account", await mined(wallet.sendTransaction({ ...fees, to: authority.address, value: 1n })));
const authorization = await wallet.signAuthorization({ account: authority, contractAddress: token.address, nonce: 0 });
const data = encodeFunctionData({ abi: token.abi, functionName: "approve", args: [PLAIN, 5n] });
show("7702", await mined(wallet.sendTransaction({ ...fees, to: authority.address, data, authorizationList: [authorization] })));
show("7702: code", [await client.getCode({ address: authority.address }), await client.getDelegation({ address: authority.address })]);
show("7702: storage", await ask({ ...token, address: authority.address }, "allowance", account.address, PLAIN));

// --- read -------------------------------------------------------------------------------------------------------------

show("call", [await ask(market, "quote_ether", ETHER), await ask(market, "ether_reserve"), await ask(token, "balanceOf", account.address)]);
const [receipt] = swap;
const then = { ...token, functionName: "balanceOf", args: [market.address], blockNumber: receipt.blockNumber - 1n };
show("call in the past", await client.readContract(then));
const events = await client.getContractEvents({ ...market, fromBlock: 0n });
show("logs", events.map(({ eventName, args, logIndex, data, topics, removed }) => [eventName, args, logIndex, data, topics, removed]));
const mine = { eventName: "Swapped", args: { trader: account.address }, fromBlock: 0n };
show("logs by topic", (await client.getContractEvents({ ...market, ...mine })).length);
show("logs of a receipt", parseEventLogs({ abi: market.abi, logs: receipt.logs }).map(({ eventName, args }) => [eventName, args]));
const block = await client.getBlock({ blockNumber: receipt.blockNumber, includeTransactions: true });
show("block", block);
show("block by hash", (await client.getBlock({ blockHash: receipt.blockHash })).number === block.number);
show("transactions in it", await client.getBlockTransactionCount({ blockHash: receipt.blockHash }));
show("by its place", (await client.getTransaction({ blockHash: receipt.blockHash, index: 0 })).hash);
show("tags", await Promise.all(["safe", "finalized", "earliest"].map(async (blockTag) => typeof (await client.getBlock({ blockTag })).number)));
show("confirmations", (await client.getTransactionConfirmations({ hash: receipt.transactionHash })) > 0n);
show("storage", await client.getStorageAt({ address: market.address, slot: "0x0" }));
show("fees", Object.keys(await client.estimateFeesPerGas()));
show("blob fee", await client.getBlobBaseFee());
show("fee history", await client.getFeeHistory({ blockCount: 2, rewardPercentiles: [25, 75] }));
show("proof", await client.getProof({ address: market.address, storageKeys: ["0x" + "00".repeat(32)] }));
const missing = ({ name }) => name;
show("nothing there", [
  await refusal(client.getTransactionReceipt({ hash: "0x" + "12".repeat(32) }), missing),
  await refusal(client.getTransaction({ hash: "0x" + "12".repeat(32) }), missing),
  await refusal(client.getBlock({ blockNumber: 0xfffffffn }), missing),
]);

// --- what is refused, and what reverts --------------------------------------------------------------------------------

const kinds = (error) => {
  const names = [];
  error.walk(({ name }) => void names.push(name));
  return names;
};
const reverted = (error) => [error.name, error.walk((one) => one instanceof ContractFunctionRevertedError).reason];
show("revert: estimate", await refusal(tell(market, "swap_ether", [1n, 0n], { value: 1n }), reverted));
show("revert: call", await refusal(client.simulateContract({ ...market, functionName: "swap_ether", args: [1n, 0n], value: 1n, account }), reverted));
show("revert: mined", await mined(tell(market, "swap_ether", [1n, 0n], { ...fees, value: 1n })));
const plain = { ...fees, to: PLAIN };
const inWords = (error) => (error instanceof BaseError ? error.details.match(/^[a-z]+ [a-z]+( [a-z]+)?/)[0] : `${error}`);
show("refused: a spent nonce", await refusal(wallet.sendTransaction({ ...plain, nonce: 0 }), (error) => [kinds(error)[1], inWords(error)]));
show("refused: too poor", await refusal(wallet.sendTransaction({ ...plain, value: 10n ** 30n }), (error) => kinds(error)[1]));
show("no such method", await refusal(client.request({ method: "eth_noSuchMethod" }), ({ name, code }) => [name, code]));

// --- a nonce gap, and what is replaced while it waits behind it ---------------------------------------------------------

const nonce = await nonceAt("pending");
const first = await wallet.sendTransaction({ ...plain, nonce: nonce + 1, value: 1n });
show("behind a gap", [await client.getTransaction({ hash: first }), await refusal(client.getTransactionReceipt({ hash: first }), missing)]);
show("behind a gap: nonces", [(await nonceAt("pending")) - nonce, (await nonceAt("latest")) - nonce]);
show("refused: as cheap", await refusal(wallet.sendTransaction({ ...plain, nonce: nonce + 1, value: 2n }), (error) => kinds(error)[0]));
const dearer = { ...plain, maxFeePerGas: 150n * GWEI, maxPriorityFeePerGas: 2n * GWEI };
let replacement;
const onReplaced = ({ reason, transaction }) => (replacement = [reason, transaction.hash]);
const waiting = client.waitForTransactionReceipt({ hash: first, onReplaced, retryDelay: 30 });
await pause(100); // it has seen the first one by then
const second = await wallet.sendTransaction({ ...dearer, nonce: nonce + 1, value: 2n });
await mined(wallet.sendTransaction({ ...plain, nonce }));
const { transactionHash, status } = await waiting;
show("replaced", [replacement, transactionHash === second, status]);
show("replaced: both", await refusal(client.getTransactionReceipt({ hash: first }), missing));
show("nonces at the end", [await nonceAt("pending"), await nonceAt("latest")]);

// --- sending and waiting in one call (EIP-7966), and events as they come ---------------------------------------------------

const signed = async (more) => wallet.signTransaction(await wallet.prepareTransactionRequest({ ...plain, value: 3n, ...more }));
show("sent and waited", await client.sendRawTransactionSync({ serializedTransaction: await signed({}) }));

const socket = createPublicClient({ chain, transport: webSocket(url.replace("http", "ws"), { keepAlive: false, reconnect: false }) });
const unwatch = [];
const once = (watch) => new Promise((resolve, onError) => unwatch.push(watch(resolve, onError)));
const transfers = { ...token, eventName: "Transfer", args: { receiver: PLAIN } };
const seen = [client, socket].map((by) => once((onLogs, onError) => by.watchContractEvent({ ...transfers, onLogs, onError })));
const heads = [client, socket].map((by) => once((onBlockNumber, onError) => by.watchBlockNumber({ onBlockNumber, onError })));
const waits = [client, socket].map((by) => once((onTransactions, onError) => by.watchPendingTransactions({ onTransactions, onError })));
show("calls over the socket", [await socket.getTransactionCount({ address: account.address }), await socket.getChainId()]);
await pause(300); // all of them are in place by then
const [last] = await mined(tell(token, "transfer", [PLAIN, 77n], fees));
show("an event as it comes", (await Promise.all(seen)).map((logs) => logs.map(({ eventName, args }) => [eventName, args])));
show("a block as it comes", (await Promise.all(heads)).map((head) => typeof head));
show("a transaction as it comes", (await Promise.all(waits)).map((hashes) => hashes.includes(last.transactionHash)));
for (const stop of unwatch) stop();
(await socket.transport.getRpcClient()).close();
