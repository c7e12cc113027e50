"""Point-CMAE (arXiv:2407.05862) on clouds of points of your own: scans or meshes of any size, labels not needed.

jaxssl train configs/points/point_cmae_folder.py --data FOLDER --workdir runs/my_clouds

FOLDER holds a file for each cloud, .xyz, .txt or .csv (a line a point: x y z), .ply, .off, .stl, .obj or .glb,
nested as you like; sub-folders are taken as labels, for the probes only. Folders called train and val (or test) are the
split. Or --data FILE.npz with `x` [N, P, 3] and, where they are there, `length` [N] (points of each cloud) and `label`
[N]. The third axis is the vertical one. Every cloud is brought to
`num_points` points and moved into the unit sphere.

What to set, as --config.NAME=VALUE:
  data.num_points           enough to show what matters; clouds with fewer points repeat some
  total_steps               at least 50 passes over the data
  encoder.num_groups, encoder.group_size   patches of a cloud and points of a patch; together about twice num_points
  augment.rotation          'none' where clouds are aligned, 'any' where they are not even upright
  encoder.embed_dim, encoder.depth         larger for tens of thousands of clouds (published: 384 and 12)

`:quick` trains a tiny network in seconds, to see that the files are read. Then, to use what was learnt:
`jaxssl embed runs/my_clouds --out features.npz`. There is no number to compare with;
configs/points/point_cmae_solids.py is measured.
"""

from jaxssl.recipes.points import point_clouds, quick_point_clouds


def get_config(arg=None):
    config = point_clouds()
    config.total_steps = 3000
    config.data = dict(name="data.readers.points", mode="resident", path="", num_points=512, test_fraction=0.2)
    config.encoder.update(num_groups=32, group_size=32)
    config.evaluate.evaluators.knn.k = 5
    config.evaluate.evaluators.few_labels.per_class = (1, 5)
    config.evaluate.headline = "few_labels/5_mean"
    config.method = dict(
        name="methods.point_cmae", masking_ratio=0.6, decoder_depth=1, decoder_heads=4, decoder_drop_path=0.0
    )
    if arg == "quick":
        quick_point_clouds(config).batch_size = 16
        config.evaluate.evaluators.few_labels.per_class = (1,)
        config.method.decoder_heads = 2
    return config
