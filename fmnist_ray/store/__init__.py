"""Where objects live: one small interface over disks and S3-like stores; the only room with filesystem libraries."""

from fmnist_ray.store.interface import ObjectInfo, Source, Store
from fmnist_ray.store.place import ENVIRONMENT, open_source, open_store, split_uri
from fmnist_ray.store.range_file import RangeFile

__all__ = ["ENVIRONMENT", "ObjectInfo", "RangeFile", "Source", "Store", "open_source", "open_store", "split_uri"]
