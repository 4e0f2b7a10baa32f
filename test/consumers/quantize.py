"""Quantizes a GGUF file of floats with llama.cpp's own library: quantize.py LIBLLAMA FTYPE IN.gguf OUT.gguf

FTYPE is llama.cpp's number of the file's type (`enum llama_ftype`). Needs Python alone.
"""
import ctypes, sys


class Parameters(ctypes.Structure):
    # nthread, ftype, and more that has its defaults; larger than any version's.
    _fields_ = [("nthread", ctypes.c_int32), ("ftype", ctypes.c_int32), ("rest", ctypes.c_ubyte * 1016)]


library, ftype, source, target = sys.argv[1:]
llama = ctypes.CDLL(library)
llama.llama_model_quantize_default_params.restype = Parameters
llama.llama_model_quantize.restype = ctypes.c_uint32
log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
llama.llama_log_set(log, None)
llama.llama_backend_init()
parameters = llama.llama_model_quantize_default_params()
parameters.nthread, parameters.ftype = 1, int(ftype)
sys.exit(llama.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(parameters)))
