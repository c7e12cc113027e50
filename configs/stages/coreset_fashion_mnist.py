"""A coreset (k-centre greedy, arXiv:1708.00489) of a tenth of the bundled 10,000 images, beside random tenths.

jaxssl stages configs/stages/coreset_fashion_mnist.py --workdir runs/coreset

SimCLR on all images (200 steps), their features, 1,000 of them by k-centre and by facility location, SimCLR anew on each
(120 steps, three seeds), and on three random parts of 1,000. All are evaluated on all images.

On 2 CPU cores, accuracies in per cent (mean and deviation of three seeds):

| | k-NN | 10 labels a class |
| all images, 200 steps | 81.8 | 71.5 |
| k-centre | 80.0 (0.6) | 69.5 (0.6) |
| facility location | 79.9 (0.6) | 70.4 (0.4) |
| random part | 79.5 (0.3) | 70.7 (0.1) |

At this size neither choice gains over a random one. k-centre's covering radius is half as large (0.21 against 0.38 to 0.42),
but the classes are met less evenly (their entropy is 90 % of the largest, against 100 %).
"""

from jaxssl.after import embed
from jaxssl.card import Card
from jaxssl.recipes.image import fashion_mnist_12k, quick_convnet
from jaxssl.stages import Stage

CARD = Card("Coreset", "arXiv:1708.00489", 2017, "image", "selection", "study")
OWN_ROW = "k-centre"
FLOOR_ROWS = ("random part", "raw pixels")
SEEDS = (0, 1, 2)
KINDS = (("k_center", "k-centre"), ("facility_location", "facility location"), ("random", "random part"))


def get_stages(arg=None):
    budget = 40 if arg == "quick" else 1000
    whole = pretraining(arg)
    stages = [Stage("pretrain", whole, after=(embed,), row="SimCLR on all images")]
    for select, row in KINDS:
        for seed in SEEDS if select == "random" else (0,):
            name = f"{select}_{seed}"
            stages.append(Stage(name, selection(arg, select, budget, seed), row=None))
            for again in SEEDS if select != "random" else (seed,):
                stages.append(Stage(f"train_{select}_{again}", retraining(arg, name), {"seed": again}, row=row))
    return stages


def pretraining(arg):
    """SimCLR, as configs/image/simclr_fashion_mnist_12k.py, with a third of the steps."""
    config = fashion_mnist_12k()
    config.method = dict(name="methods.simclr", hidden_dims=(512,), dim=128, temperature=0.2)
    config.optim.learning_rate, config.total_steps = 4e-3, 200
    config.evaluate.evaluators = {n: config.evaluate.evaluators[n].to_dict() for n in ("knn", "few_labels")}
    config.evaluate.during = ("knn",)
    if arg == "quick":
        quick_convnet(config).total_steps = 10
        config.method.update(hidden_dims=(32,), dim=16)
        config.evaluate.evaluators = {"knn": config.evaluate.evaluators.knn.to_dict()}
    return config


def selection(arg, select, budget, seed):
    """The study that writes ids.npy."""
    config = pretraining(arg)
    config.study = dict(
        name="studies.coreset", embeddings="{pretrain}/embed.npz", budget=budget, select=select, seed=seed
    )
    return config


def retraining(arg, selected):
    """SimCLR on the examples that a stage has chosen; evaluated with all."""
    config = pretraining(arg)
    of = {name: value for name, value in config.data.to_dict().items() if name != "mode"}
    config.data = dict(name="data.subset.chosen", mode="resident", ids=f"{{{selected}}}/ids.npy", of=of)
    config.evaluate.floors = {}
    config.total_steps = min(config.total_steps, 120)
    return config
