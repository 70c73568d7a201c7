"""A trained detector as one ONNX file, and scoring with it where torch is not installed.

:mod:`unblot.deploy.export` writes the file (extra ``unblot[export]``); :mod:`unblot.deploy.runtime` reads it (extra
``unblot[runtime]``: onnxruntime, Pillow and the command line). ``docs/deploy.md`` states the contract of the graph.
"""
