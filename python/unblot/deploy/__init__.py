"""A trained detector as one ONNX file, and scoring with it where torch is not installed.

:mod:`unblot.deploy.graph` is what the file holds, :mod:`unblot.deploy.export` writes it, :mod:`unblot.deploy.parity`
checks it (extra ``unblot[export]``); :mod:`unblot.deploy.runtime` reads it (extra ``unblot[runtime]``: onnxruntime,
Pillow and the command line). ``docs/deploy.md`` states the contract of the graph.
"""
