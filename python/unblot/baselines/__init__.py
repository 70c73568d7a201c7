"""The systems of the seeds and their relatives, one file each, under the contract of :mod:`unblot.detectors`."""
