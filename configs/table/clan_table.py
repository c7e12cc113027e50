"""CLAN (arXiv:2509.06550) on a table of your own: normal rows in, strange rows out.

jaxssl train configs/table/clan_table.py --data FILE.csv --workdir runs/my_table

FILE is a .csv file whose first line names the columns, or a .parquet file. Columns of numbers and of categories are
told apart by themselves; missing cells are allowed. What to set, as --config.NAME=VALUE:
  data.label, data.normal   the column that says what a row is, and the value that normal rows have: training then sees
                            normal rows only, and the other ones tell how well they are found. Without them all rows
                            are trained on, and nothing is evaluated
  data.drop                 columns to leave out, such as "('id', 'date')"
  data.categorical          columns of numbers that are categories, such as "('port',)"
  total_steps               2,000 steps of 256 rows suit some 10,000 rows; fewer for fewer
  augment.low, augment.high the range, in deviations, from which new values of cells are drawn

`jaxssl embed runs/my_table --data NEW.csv --out features.npz` gives the features of new rows, coded and scaled as the
table that was trained on; keep that file. A row is the stranger the smaller the cosine of its features and the mean
of the training features is. `:quick` trains a tiny network in seconds, to see that the table is read.
Not measured: there is no number to compare with. configs/table/clan_breast_cancer.py and configs/table/clan_flows.py have one.
"""

from jaxssl.recipes.table import anomalies, quick_table


def get_config(arg=None):
    config = anomalies()
    config.total_steps, config.batch_size = 2000, 256
    config.data = dict(name="data.readers.table", mode="resident", path="", label=None, normal=None, test_share=0.25)
    config.augment.update(probability=0.1, low=-1.7, high=1.7)
    config.encoder = dict(name="models.tabular.residual_mlp", widths=(256,) * 2, dim=64, linear_end=True)
    config.method = dict(name="methods.clan", margin=0.5, alpha=0.5)
    del config.evaluate.floors["columns"]
    if arg == "quick":
        quick_table(config)
        config.encoder.update(widths=(32,), dim=16)
    return config
