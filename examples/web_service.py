# %% [markdown]
# # A network behind a web handler
#
# A network of this size answers in microseconds, so it can live inside the handler: no queue, no batching, no second
# process. Prediction changes nothing, so all threads of the server share one network. The server is Python's standard
# library; the same few lines fit into any web framework.

# %%
import http.client
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import matplotlib.pyplot as plt
import numpy as np
from common import arguments, save

import backprop as bp

options = arguments("Serve predictions over HTTP and measure how long they take")

X, y = bp.data.digits()
X_train, X_test, y_train, y_test = bp.data.split(X, y, stratify=True, seed=0)
network = bp.Network([64, 32, 10], hidden="tanh", loss="log_loss", seed=0)
network.train(X_train, bp.data.one_hot(y_train), epochs=10 if options.quick else 30, batch_size=10, learning_rate=0.3)

# %% [markdown]
# POST a JSON list of 64 numbers to `/predict`. What does not fit is refused by the library, and its message, which says
# what is wrong, goes to the client as it is.

# %%
prediction_seconds = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"               # keeps the connection for the next request
    disable_nagle_algorithm = True              # or a small answer may wait for the network's acknowledgement

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/predict":
            return self.answer(404, {"error": f"no such path: {self.path}"})
        try:
            pixels = json.loads(body)
            start = time.perf_counter()
            probabilities = network.predict_one(np.array(pixels, dtype=float))
            prediction_seconds.append(time.perf_counter() - start)
        except (ValueError, TypeError) as error:
            return self.answer(400, {"error": str(error)})
        digit = int(probabilities.argmax())
        return self.answer(200, {"digit": digit, "probability": float(probabilities[digit])})

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):                  # quiet
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)         # port 0: any that is free
thread = threading.Thread(target=server.serve_forever)
thread.start()

# %% [markdown]
# A client on the same machine, one request after the other over one connection.

# %%
n = 200 if options.quick else 2000
request_seconds, hits = [], 0
connection = http.client.HTTPConnection(*server.server_address)
try:
    for i in np.random.default_rng(0).integers(len(X_test), size=n):
        body = json.dumps(X_test[i].tolist())
        start = time.perf_counter()
        connection.request("POST", "/predict", body)
        answer = json.loads(connection.getresponse().read())
        request_seconds.append(time.perf_counter() - start)
        hits += answer["digit"] == y_test[i]
    connection.request("POST", "/predict", json.dumps([0.0] * 63))
    response = connection.getresponse()
    print(f"a bad request: {response.status} {json.loads(response.read())['error']}")
finally:
    connection.close()
    server.shutdown()
    thread.join()
    server.server_close()

# %% [markdown]
# And without anything around it: the array is there, `predict_one` is called from Python.

# %%
alone_seconds = []
for i in range(20 * n):
    x = X_test[i % len(X_test)]
    start = time.perf_counter()
    network.predict_one(x)
    alone_seconds.append(time.perf_counter() - start)

measured = {"predict_one of an array": alone_seconds, "predict_one of a list, in the handler": prediction_seconds,
            "the whole request": request_seconds}
print(f"{n} requests, {hits / n:.3f} of the digits right")
for name, seconds in measured.items():
    p50, p99 = 1e6 * np.percentile(seconds, [50, 99])
    print(f"{name:38s} p50 {p50:8.1f} µs   p99 {p99:8.1f} µs")

# %%
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for (name, seconds), color, style in zip(measured.items(), ("#0072B2", "#009E73", "#D55E00"), ("-", "--", "-.")):
    ordered = np.sort(seconds) * 1e6
    ax.semilogx(ordered, np.arange(1, len(ordered) + 1) / len(ordered), color=color, linestyle=style, linewidth=2,
                label=name)
for share, words in ((0.5, "p50"), (0.99, "p99")):
    ax.axhline(share, color="0.6", linewidth=0.8, linestyle=":")
    ax.text(1.0, share, f" {words}", transform=ax.get_yaxis_transform(), va="center")
ax.set(xlabel="microseconds", ylabel="share of calls that took no longer", ylim=(0, 1.02))
ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=9)
save(figure, options.out / "web_service.png")
