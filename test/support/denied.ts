/**
 * Modules and functions that run code, or reach files, processes or the network, as `module:name`;
 * `anything` stands for whatever a module has. Those of Python 2 are among them.
 */
const NAMES = `
SimpleHTTPServer:test SimpleXMLRPCServer:SimpleXMLRPCServer SocketServer:TCPServer Tkinter:Tcl
__builtin__:__import__ __builtin__:anything __builtin__:apply __builtin__:breakpoint
__builtin__:compile __builtin__:eval __builtin__:exec __builtin__:execfile __builtin__:file
__builtin__:getattr __builtin__:input __builtin__:open __builtin__:raw_input __builtin__:reduce
__builtin__:reload __builtins__:__import__ __builtins__:anything __builtins__:compile
__builtins__:eval __builtins__:exec __builtins__:input __builtins__:open
_aix_support:_read_cmd_output _aix_support:anything _asyncio:Task _bootsubprocess:Popen
_codecs:decode _compat_pickle:NAME_MAPPING _ctypes:anything _frozen_importlib:anything
_frozen_importlib_external:anything _functools:reduce _imp:anything _interpreters:anything
_interpreters:create _io:FileIO _io:open _io:open_code _lsprof:Profiler _operator:anything
_operator:attrgetter _operator:itemgetter _operator:methodcaller _osx_support:_find_build_tool
_osx_support:_read_output _osx_support:anything _pickle:anything _posixsubprocess:anything
_posixsubprocess:fork_exec _pyio:open _pyrepl.pager:pipe_pager _pyrepl.pager:tempfile_pager
_pyrepl:anything _signal:anything _sqlite3:anything _testcapi:run_in_subinterp _thread:anything
_thread:start_new_thread _tkinter:create _xxsubinterpreters:anything _xxsubinterpreters:create
aiohttp.client:anything aiohttp:anything anydbm:open asyncio.subprocess:anything
asyncio.unix_events:_UnixSubprocessTransport._start asyncio:anything atexit:anything
atexit:register base64:b64decode base64:decode base64:decodebytes base64:urlsafe_b64decode
bdb:anything binascii:a2b_base64 binascii:a2b_hex binascii:unhexlify builtins:__import__
builtins:__setattr__ builtins:anything builtins:apply builtins:breakpoint builtins:code
builtins:compile builtins:delattr builtins:dir builtins:eval builtins:eval.__call__ builtins:exec
builtins:file builtins:getattr builtins:globals builtins:help builtins:input builtins:locals
builtins:memoryview builtins:open builtins:print.__class__.__base__.__subclasses__
builtins:setattr builtins:vars bz2:BZ2File bz2:decompress cPickle:loads cProfile:anything
cProfile:run cProfile:runctx cgitb:lookup cloudpickle.cloudpickle:_builtin_type
cloudpickle.cloudpickle:_function_setstate cloudpickle.cloudpickle:_make_cell
cloudpickle.cloudpickle:_make_empty_cell cloudpickle.cloudpickle:_make_function
cloudpickle.cloudpickle:subimport cloudpickle:anything code:InteractiveInterpreter
code:InteractiveInterpreter.runcode code:InteractiveInterpreter.runsource code:anything
codecs:decode codeop:anything commands:anything compileall:anything
concurrent.futures:ProcessPoolExecutor concurrent.futures:ThreadPoolExecutor
cookielib:MozillaCookieJar copy_reg:add_extension copyreg:_extension_registry
copyreg:add_extension ctypes.util:anything ctypes:CDLL ctypes:CFUNCTYPE ctypes:OleDLL ctypes:PyDLL
ctypes:WINFUNCTYPE ctypes:WinDLL ctypes:anything ctypes:cast ctypes:cdll ctypes:oledll
ctypes:pydll ctypes:pythonapi ctypes:windll difflib:anything difflib:unified_diff
dill._dill:_create_code dill._dill:_import_module dill._dill:_load_type dill._dill:anything
dill:anything dill:load dill:load_module dill:load_module_asdict dill:load_session dill:loads
distutils.file_util:anything distutils.file_util:write_file distutils:anything doctest:anything
doctest:debug_script dumbdbm:open ensurepip:_run_pip ensurepip:anything fickling:anything
filecmp:anything fileinput:anything fileinput:input ftplib:FTP ftplib:anything functools:anything
functools:partialmethod functools:reduce gc:anything gc:get_objects glob:anything gzip:GzipFile
gzip:decompress http.client:HTTPSConnection http:anything httplib:anything
idlelib.autocomplete:AutoComplete.fetch_completions idlelib.autocomplete:AutoComplete.get_entity
idlelib.calltip:Calltip.fetch_tip idlelib.calltip:get_entity
idlelib.debugobj:ObjectTreeItem.SetText idlelib.pyshell:ModifiedInterpreter.runcode
idlelib.pyshell:ModifiedInterpreter.runcommand idlelib.run:Executive.runcode idlelib:anything
imaplib:IMAP4 imaplib:IMAP4_stream imaplib:anything imp:anything imp:load_source
importlib.machinery:anything importlib.util:anything importlib.util:find_spec
importlib.util:module_from_spec importlib:anything importlib:import_module inspect:anything
inspect:getattr_static io:FileIO io:open joblib:anything joblib:load keras.models:load_model
lib2to3.fixer_util:attr_chain lib2to3.pgen2.grammar:Grammar.loads
lib2to3.pgen2.pgen:ParserGenerator.make_label lib2to3:anything linecache:anything
linecache:getline linecache:getlines logging.config:listen logging:FileHandler logging:anything
logging:config lzma:LZMAFile lzma:decompress marshal:anything marshal:dump marshal:dumps
marshal:load marshal:loads mlflow.projects.backend.local:_run_entry_point mmap:anything
model_unpickler:anything modelaudit:anything modelscan:anything multiprocessing.pool:anything
multiprocessing.util:spawnv_passfds multiprocessing:anything nntplib:NNTP nntplib:anything
nt:anything ntpath:anything numexpr:evaluate numpy.ctypeslib:load_library numpy.distutils:anything
numpy.f2py.capi_maps:getinit numpy.f2py.crackfortran:_eval_length
numpy.f2py.crackfortran:getlincoef numpy.f2py:anything numpy.lib.npyio:load
numpy.testing._private.utils:anything numpy.testing._private.utils:runstring numpy:__builtins__
numpy:load numpy:ndarray.dump numpy:ndarray.tofile operator:anything operator:attrgetter
operator:getitem operator:itemgetter operator:methodcaller os:anything os:execl os:execle
os:execlp os:execlpe os:execv os:execve os:execvp os:execvpe os:popen os:popen2 os:popen3
os:popen4 os:spawn os:spawnl os:spawnle os:spawnlp os:spawnlpe os:spawnv os:spawnve os:spawnvp
os:spawnvpe os:system pandas.io.parsers.readers:read_csv pandas.io.pickle:read_pickle
pandas:read_pickle pathlib._local:PosixPath.open pathlib:Path.write_text pathlib:PosixPath.unlink
pathlib:os.system pdb:anything pdb:run pdb:runcall pdb:runctx pdb:runeval pexpect:anything
pickle:anything pickle:load pickle:loads picklescan:anything pip._internal.cli.main:anything
pip._internal.cli.main:main pip._internal.cli:anything pip._internal:anything pip._internal:main
pip._vendor.distlib.scripts:ScriptMaker pip._vendor.distlib.scripts:anything
pip._vendor.distlib:anything pip._vendor:anything pip:anything pip:main pipes:Template
pipes:anything pkgutil:anything pkgutil:get_importer pkgutil:resolve_name pkgutil:walk_packages
platform:anything platform:popen platform:system popen2:popen3 poplib:POP3 poplib:anything
posix:anything posixpath:anything profile:anything profile:run profile:runctx pty:anything
pty:spawn py_compile:anything pydoc:anything pydoc:locate pydoc:pipepager requests.api:anything
requests.api:get requests:anything runpy:_run_code runpy:anything runpy:run_path
saferpickle:anything select:anything selectors:anything shelve:anything shutil:anything
shutil:copy shutil:copytree shutil:move shutil:os.execve shutil:os.system shutil:rmtree
signal:anything site:addpackage site:anything smtplib:SMTP smtplib:anything socket:anything
socket:create_connection socketserver:anything sqlite3:anything ssl:anything
ssl:get_server_certificate subprocess:Popen subprocess:anything subprocess:call
subprocess:check_call subprocess:check_output subprocess:getoutput subprocess:getstatusoutput
subprocess:run sympy.parsing.sympy_parser:parse_expr sympy.utilities.lambdify:lambdify
sympy:lambdify sympy:sympify sys:anything sys:modules syslog:anything tarfile:anything
telnetlib:Telnet telnetlib:anything tempfile:anything tempfile:mktemp
tensorflow.keras.models:load_model test.support.script_helper:assert_python_ok
test.support:get_attribute test.test_support:run_unittest thread:start_new_thread
threading:anything timeit:anything timeit:repeat timeit:timeit tkinter:Tcl tokenize:open
torch._dynamo.guards:GuardBuilder.get torch._dynamo:anything
torch._inductor.codecache:compile_file torch._inductor:anything torch.compile:anything
torch.distributed.elastic.rendezvous.api:basichandlers torch.distributed.rpc:RemoteModule
torch.distributed.rpc:remote torch.distributed.rpc:rpc_async torch.distributed.rpc:rpc_sync
torch.fx.experimental.symbolic_shapes:ShapeEnv.evaluate_guards_expression torch.hub:anything
torch.hub:load torch.hub:load_state_dict_from_url torch.jit.annotations:parse_type_line
torch.jit.unsupported_tensor_ops:execWrapper torch.jit:load torch.library:os.system
torch.library:torch.utils.collect_env.run torch.package:PackageImporter torch.serialization:load
torch.storage:UntypedStorage.from_file torch.utils._config_module:ConfigModule
torch.utils._config_module:ConfigModule.load_config
torch.utils.bottleneck.__main__:run_autograd_prof torch.utils.bottleneck.__main__:run_cprofile
torch.utils.collect_env:run torch.utils.collect_env:run_and_read_all
torch.utils.data.datapipes.utils.decoder:basichandlers torch:compile torch:load trace:Trace.run
trace:Trace.runctx trace:anything transformers.models.auto.auto_factory:getattribute_from_module
types:CodeType types:FunctionType types:anything typing:get_type_hints unittest.mock:_dot_lookup
unittest.mock:_importer unittest:anything urllib.request:anything urllib.request:urlopen
urllib.request:urlretrieve urllib2:anything urllib2:urlopen urllib:anything
uuid:_get_command_stdout uuid:_popen uuid:anything venv:anything venv:create webbrowser:anything
webbrowser:open whichdb:whichdb xmlrpc.client:anything xmlrpc.server:anything
xmlrpc.server:resolve_dotted_attribute xmlrpc:anything xmlrpclib:ServerProxy zipfile:anything
zipimport:anything zipimport:zipimporter zlib:decompress zlib:decompressobj
`

export const DENIED: readonly (readonly [module: string, name: string])[] = NAMES.trim()
  .split(/\s+/)
  .map((row) => {
    const at = row.indexOf(':')
    return [row.slice(0, at), row.slice(at + 1)]
  })
