"""Views of data: which examples are trained on, in which batches, and what a loss may learn of them.

Each view takes other data as `of`, a section of its own, and views may stand in views:

    data = dict(name="data.subset.labelled", per_class=10, of=dict(name="data.sets.fashion_mnist_12k"))

An example keeps its `index` through all views. Views change the training source; evaluation sees every example once, as
in `of`, unless a view says otherwise.
"""
