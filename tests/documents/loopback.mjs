// Loaded before a sample: whatever port it asks for, it gets a free one on loopback, and says which.
// Packages that need more than a package to run are played by a file beside this one.
import { registerHooks } from "node:module";
import net from "node:net";

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  this.once("listening", () => console.log(`listening ${this.address().port}`));
  return listen.call(this, 0, "127.0.0.1", ...rest.filter((one) => typeof one === "function"));
};

const played = { bull: new URL("bull.mjs", import.meta.url).href };
registerHooks({
  resolve: (specifier, context, next) =>
    specifier in played ? { url: played[specifier], shortCircuit: true } : next(specifier, context),
});
