"""The bundle: a model as a folder that describes and proves itself; its runtimes; the classifier."""
