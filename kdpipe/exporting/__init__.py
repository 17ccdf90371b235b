"""Models as ONNX graphs: written, compared with the model, run by ONNX Runtime."""

import os

# As it is imported, ONNX Runtime would else write a database of its use into the user's home, to be sent.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
