# Every image of timeproof, for stock `docker buildx bake`. Nothing here uses a network.
#
# Contexts hold bytes, not places, so they are staged first (and checked, hash by hash):
#
#   timeproof build lockfiles/* --stage build/contexts
#   docker buildx bake                        the base, and every environment in lockfiles/
#   docker buildx bake environment-digits     one of them
#
# A copy of this file is frozen in each environment's recipe/, and is what a replay builds with.

variable "CONTEXTS" {
  default = "build/contexts"
}

variable "ENVIRONMENTS" {
  # Every folder of lockfiles/; a list of one's own is ENVIRONMENTS=this,that docker buildx bake
  default = join(",", [
    "catboost-1.0.6",
    "catboost-1.2.10",
    "catboost-1.2.3",
    "digits",
    "lightgbm-2.2.3",
    "lightgbm-3.2.1",
    "lightgbm-3.3.5",
    "lightgbm-4.0.0",
    "lightgbm-4.1.0",
    "lightgbm-4.3.0",
    "lightgbm-4.6.0",
    "lightgbm-4.7.0",
    "onnxruntime-1.12",
    "onnxruntime-1.16",
    "onnxruntime-1.20",
    "onnxruntime-1.22",
    "onnxruntime-1.23",
    "onnxruntime-1.24",
    "onnxruntime-1.26",
    "onnxruntime-1.28",
    "onnxruntime-1.30",
    "onnxruntime-1.32",
    "sklearn-1.3",
    "sklearn-1.5",
    "sklearn-1.7",
    "sklearn-1.9",
    "tensorflow-2.16",
    "tensorflow-2.21",
    "torch-2.13",
    "transformers-4.40",
    "transformers-5.24",
    "xgboost-1.7.6",
    "xgboost-2.1.4",
    "xgboost-3.0.5",
    "xgboost-3.1.3",
    "xgboost-3.2.0",
    "xgboost-3.4.1",
  ])
}

variable "PLATFORM" {
  default = "linux/amd64"
}

# 1980-01-01T00:00:00Z: the oldest instant that a zip can hold; no image knows when it was built.
variable "EPOCH" {
  default = "315532800"
}

group "default" {
  targets = ["base", "environment"]
}

target "_hermetic" {
  network   = "none"
  platforms = [PLATFORM]
  args      = { SOURCE_DATE_EPOCH = EPOCH }
  attest    = ["type=provenance,disabled=true", "type=sbom,disabled=true"]
}

target "base" {
  inherits = ["_hermetic"]
  context  = "${CONTEXTS}/base"
  tags     = ["timeproof/base:latest"]
  output   = ["type=image,oci-mediatypes=true,unpack=true,compression=zstd,force-compression=true"]
}

target "environment" {
  name     = "environment-${replace(env, ".", "_")}"
  matrix   = { env = split(",", ENVIRONMENTS) }
  inherits = ["_hermetic"]
  context  = "${CONTEXTS}/${env}"
  tags     = ["timeproof/${env}:latest"]
  output   = ["type=image,oci-mediatypes=true,unpack=true,compression=zstd,force-compression=true"]
}
