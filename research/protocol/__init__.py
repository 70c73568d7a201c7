"""What the published protocol does to a figure, shown on one training.

python -m research.protocol cifar10 --root DIR --abnormal airplane --model nested
"""
