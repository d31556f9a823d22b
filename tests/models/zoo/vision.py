"""torchvision and timm architectures, random weights; small configurations, full ones under `large`."""

import torch
from torch import nn

from zoo import DYNAMIC, add

r = torch.randn


def images(size, batches=(1, 2), channels=3):
    return lambda: [(r(n, channels, size, size),) for n in batches]


BATCH = ({0: DYNAMIC},)


def torchvision_program(name, build, size=64, dynamic=BATCH, **options):
    add(f"tv_{name}", build, images(size), dynamic, **options)


def tv():
    from torchvision import models
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt
    from torchvision.models.densenet import DenseNet
    from torchvision.models.resnet import Bottleneck, ResNet
    from torchvision.models.swin_transformer import SwinTransformer
    from torchvision.models.vision_transformer import VisionTransformer

    random = dict(weights=None)
    torchvision_program("resnet18", lambda: models.resnet18(**random))
    torchvision_program("resnext_small", lambda: ResNet(Bottleneck, [1, 2, 2, 1], groups=8, width_per_group=4, num_classes=20))
    torchvision_program("mobilenet_v3_small", lambda: models.mobilenet_v3_small(**random))
    torchvision_program("efficientnet_b0", lambda: models.efficientnet_b0(**random))
    torchvision_program("squeezenet1_1", lambda: models.squeezenet1_1(**random))
    torchvision_program("shufflenet_v2", lambda: models.shufflenet_v2_x0_5(**random))
    torchvision_program("mnasnet0_5", lambda: models.mnasnet0_5(**random))
    torchvision_program("regnet_y_400mf", lambda: models.regnet_y_400mf(**random))
    torchvision_program("densenet", lambda: DenseNet(12, (2, 4, 6, 4), 24, num_classes=20))
    torchvision_program("googlenet", lambda: models.googlenet(weights=None, aux_logits=False, init_weights=False))
    torchvision_program("inception_v3", lambda: models.inception_v3(weights=None, aux_logits=False, init_weights=False), 96, large=True)
    torchvision_program(
        "convnext_small_config",
        lambda: ConvNeXt([CNBlockConfig(24, 48, 2), CNBlockConfig(48, 96, 2), CNBlockConfig(96, None, 2)], num_classes=20),
    )
    torchvision_program("vit_small_config", lambda: VisionTransformer(64, 16, 3, 4, 64, 128, num_classes=20))
    torchvision_program("swin_small_config", lambda: SwinTransformer([4, 4], 24, [2, 2], [2, 4], [4, 4], num_classes=20))
    torchvision_program("alexnet_like", lambda: models.vgg11(weights=None, num_classes=10).features, 32)
    for name, size in (("resnet50", 224), ("mobilenet_v2", 224), ("convnext_tiny", 224), ("vit_b_16", 224), ("swin_t", 224), ("efficientnet_v2_s", 224)):
        torchvision_program(f"{name}_full", lambda name=name: getattr(models, name)(weights=None), size, large=True)

    class Segmenter(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5)

        def forward(self, x):
            return self.net(x)["out"]

    torchvision_program("lraspp", Segmenter)


def timm_program(name, model, size=64, dynamic=BATCH, **config):
    def build():
        import timm

        return timm.create_model(model, pretrained=False, num_classes=10, **config)

    add(f"timm_{name}", build, images(size), dynamic)


def timm_mixer(name, layers):
    def build():
        from timm.models import mlp_mixer

        chosen = {k: getattr(mlp_mixer, v) for k, v in layers.items()}
        if layers:
            chosen["mlp_ratio"] = 4
        return mlp_mixer.MlpMixer(img_size=64, patch_size=16, num_blocks=2, embed_dim=64, num_classes=10, **chosen)

    add(f"timm_{name}", build, images(64), BATCH)


def timm_convmixer():
    def build():
        from timm.models.convmixer import ConvMixer

        return ConvMixer(32, 3, kernel_size=7, patch_size=7, num_classes=10)

    add("timm_convmixer", build, images(64), BATCH)


def tm():
    timm_program("deit", "deit_tiny_patch16_224", img_size=64, embed_dim=48, num_heads=3, depth=3)
    timm_program("resnetv2", "resnetv2_50", layers=(1, 1, 1, 1), channels=(32, 48, 64, 96))
    timm_mixer("mixer", {})
    timm_mixer("gmlp", {"block_layer": "SpatialGatingBlock", "mlp_layer": "GatedMlp"})
    timm_program("levit", "levit_128s", 224)
    timm_program("mobilevit", "mobilevit_xxs")
    timm_program("edgenext", "edgenext_xx_small")
    timm_program("ghostnet", "ghostnet_050")
    timm_program("hardcorenas", "hardcorenas_a")
    timm_program("rexnet", "rexnetr_200", 64)
    timm_program("poolformer", "poolformer_s12", 64)
    timm_program("coat", "coat_lite_tiny", 64, img_size=64)
    timm_program("maxvit", "maxvit_rmlp_pico_rw_256", 64, img_size=64)
    timm_program("fastvit", "fastvit_t8", 64)
    timm_program("eva", "eva02_tiny_patch14_224", 56, img_size=56, depth=2, embed_dim=48, num_heads=4)
    timm_program("repvgg", "repvgg_a0", 64)
    timm_convmixer()


tv()
tm()
