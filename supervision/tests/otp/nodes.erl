%% What OTP does between two nodes: a line for each thing that was heard, `scenario: what`. `nodes.sh` runs it; `tests/dist_otp.rs` is
%% compared with it.
-module(nodes).
-export([main/0, worker/2]).

main() ->
    process_flag(trap_exit, true),
    {ok, _} = pg:start_link(),
    [run(Name, Scenario) || {Name, Scenario} <- scenarios()],
    halt(0).

run(Name, Scenario) ->
    {_, Node} = up(),
    put(name, Name),
    Scenario(Node),
    catch peer:stop(get(peer)),
    timer:sleep(100),
    drain().

up() ->
    {ok, Dir} = file:get_cwd(),
    {ok, Peer, Node} = peer:start(#{name => there, connection => standard_io,
        args => ["-pa", Dir, "-setcookie", atom_to_list(erlang:get_cookie()), "-connect_all", "false"]}),
    true = net_kernel:connect_node(Node),
    put(peer, Peer),
    {Peer, Node}.

%% A new start of the node of that name.
again() -> peer:stop(get(peer)), timer:sleep(100), up().

lose(Node) -> true = erlang:disconnect_node(Node).

say(Format, Args) -> io:format("~s: " ++ Format ++ "~n", [get(name) | Args]).

drain() -> receive _ -> drain() after 0 -> ok end.

%% What comes within a while, in its order.
heard() ->
    receive
        {'DOWN', _, process, {Name, _}, Why} -> say("down ~s ~s", [Name, why(Why)]), heard();
        {'DOWN', _, process, _, Why} -> say("down ~s", [why(Why)]), heard();
        {'EXIT', _, Why} -> say("exit ~s", [why(Why)]), heard();
        {nodeup, _} -> say("up", []), heard();
        {nodedown, _} -> say("lost", []), heard();
        {said, What} -> say("said ~w", [What]), heard()
    after 150 -> say("-", [])
    end.

why({nodedown, _}) -> noconnection;
why(Why) when is_atom(Why) -> Why.

%% A process that does as it is told.
new(Node, Trap) ->
    Me = self(),
    Pid = spawn(Node, ?MODULE, worker, [Trap, Me]),
    receive {Pid, ready} -> Pid end.

worker(Trap, Tell) ->
    process_flag(trap_exit, Trap),
    case whereis(pg) of undefined -> {ok, _} = pg:start(pg); _ -> ok end,
    Tell ! {self(), ready},
    serve(Tell).

serve(Tell) ->
    receive
        {stop, Why} -> exit(Why);
        {link, Pid} -> link(Pid), serve(Tell);
        {call, From, double, N} -> gen:reply(From, 2 * N), serve(Tell);
        {call, From, stop, Why} -> _ = From, exit(Why);
        {call, _, never, _} -> serve(Tell);
        {'$gen_call', From, {double, N}} -> gen:reply(From, 2 * N), serve(Tell);
        {'$gen_call', _, {stop, Why}} -> exit(Why);
        {'$gen_call', _, never} -> serve(Tell);
        {register, Name} -> register(Name, self()), Tell ! {self(), ready}, serve(Tell);
        {say, From, To} -> [Tell ! {said, N} || N <- lists:seq(From, To)], serve(Tell);
        {join, Group} -> ok = pg:join(Group, self()), Tell ! {self(), ready}, serve(Tell);
        {leave, Group} -> ok = pg:leave(Group, self()), Tell ! {self(), ready}, serve(Tell);
        {'EXIT', _, Why} -> Tell ! {said, Why}, serve(Tell)
    end.

tell(Pid, What) -> Pid ! What, receive {Pid, ready} -> ok end.

alive(Pid) -> say("~s", [case rpc:call(node(Pid), erlang, is_process_alive, [Pid]) of true -> alive; false -> dead end]).

call(To, Request) -> call(To, Request, 500).

call(To, Request, Time) ->
    try gen_server:call(To, Request, Time) of
        Answer -> say("answer ~w", [Answer])
    catch
        exit:{{nodedown, _}, _} -> say("noconnection", []);
        exit:{Why, _} -> say("~s", [why(Why)])
    end.

members() ->
    timer:sleep(100),
    say("~w members", [length(pg:get_members(g))]).

scenarios() -> [
    {"monitor, ends", fun(N) -> P = new(N, false), monitor(process, P), P ! {stop, over}, heard() end},
    {"monitor, ends normally", fun(N) -> P = new(N, false), monitor(process, P), P ! {stop, normal}, heard() end},
    {"monitor, killed", fun(N) -> P = new(N, true), monitor(process, P), exit(P, kill), heard() end},
    {"monitor, has ended", fun(N) -> P = new(N, false), P ! {stop, over}, timer:sleep(50), monitor(process, P), heard() end},
    {"monitor, lost", fun(N) -> P = new(N, false), monitor(process, P), lose(N), heard() end},
    {"monitor, twice", fun(N) -> P = new(N, false), monitor(process, P), monitor(process, P), P ! {stop, over}, heard() end},
    {"monitor, taken back", fun(N) -> P = new(N, false), R = monitor(process, P), demonitor(R), P ! {stop, over}, heard() end},
    {"monitor, taken back when lost", fun(N) -> P = new(N, false), R = monitor(process, P), lose(N), timer:sleep(50), demonitor(R, [flush]), heard() end},
    {"monitor, by name", fun(N) -> P = new(N, false), tell(P, {register, front}), monitor(process, {front, N}), P ! {stop, over}, heard() end},
    {"monitor, by a name of nobody", fun(N) -> monitor(process, {nobody, N}), heard() end},
    {"monitor, by name, lost", fun(N) -> P = new(N, false), tell(P, {register, front}), monitor(process, {front, N}), lose(N), heard() end},
    {"monitor, of an earlier start", fun(N) -> P = new(N, false), again(), monitor(process, P), heard() end},
    {"link, ends", fun(N) -> P = new(N, false), link(P), P ! {stop, over}, heard() end},
    {"link, ends normally", fun(N) -> P = new(N, false), link(P), P ! {stop, normal}, heard() end},
    {"link, killed", fun(N) -> P = new(N, false), link(P), exit(P, kill), heard() end},
    {"link, has ended", fun(N) -> P = new(N, false), P ! {stop, over}, timer:sleep(50), link(P), heard() end},
    {"link, lost", fun(N) -> P = new(N, false), link(P), lose(N), heard() end},
    {"link, twice", fun(N) -> P = new(N, false), link(P), link(P), P ! {stop, over}, heard() end},
    {"link, taken back", fun(N) -> P = new(N, false), link(P), unlink(P), P ! {stop, over}, heard() end},
    {"link, from there", fun(N) -> P = new(N, false), P ! {link, self()}, timer:sleep(50), P ! {stop, over}, heard() end},
    {"link, of an earlier start", fun(N) -> P = new(N, false), again(), link(P), heard() end},
    {"link, one that does not trap", fun(N) -> P = new(N, false), H = new(node(), false), monitor(process, H), H ! {link, P}, timer:sleep(50), P ! {stop, over}, heard() end},
    {"link, one that does not trap, killed", fun(N) -> P = new(N, false), H = new(node(), false), monitor(process, H), H ! {link, P}, timer:sleep(50), exit(P, kill), heard() end},
    {"link, one that does not trap, normally", fun(N) -> P = new(N, false), H = new(node(), false), monitor(process, H), H ! {link, P}, timer:sleep(50), P ! {stop, normal}, heard(), alive(H) end},
    {"link, one that does not trap, lost", fun(N) -> P = new(N, false), H = new(node(), false), monitor(process, H), H ! {link, P}, timer:sleep(50), lose(N), heard() end},
    {"link, this side ends", fun(N) -> P = new(N, false), H = new(node(), false), H ! {link, P}, timer:sleep(50), monitor(process, P), H ! {stop, over}, heard() end},
    {"link, this side is killed", fun(N) -> P = new(N, false), H = new(node(), false), H ! {link, P}, timer:sleep(50), monitor(process, P), exit(H, kill), heard() end},
    {"link, this side ends normally", fun(N) -> P = new(N, false), H = new(node(), false), H ! {link, P}, timer:sleep(50), monitor(process, P), H ! {stop, normal}, heard(), alive(P) end},
    {"exit, normal", fun(N) -> P = new(N, false), monitor(process, P), exit(P, normal), heard(), alive(P) end},
    {"exit, shutdown", fun(N) -> P = new(N, false), monitor(process, P), exit(P, shutdown), heard() end},
    {"exit, to one that traps", fun(N) -> P = new(N, true), monitor(process, P), exit(P, over), heard(), alive(P) end},
    {"exit, normal, to one that traps", fun(N) -> P = new(N, true), exit(P, normal), heard() end},
    {"exit, killed, to one that traps", fun(N) -> P = new(N, true), exit(P, killed), heard() end},
    {"call", fun(N) -> P = new(N, false), call(P, {double, 21}) end},
    {"call, by name", fun(N) -> P = new(N, false), tell(P, {register, front}), call({front, N}, {double, 4}) end},
    {"call, by a name of nobody", fun(N) -> call({nobody, N}, {double, 4}) end},
    {"call, has ended", fun(N) -> P = new(N, false), P ! {stop, over}, timer:sleep(50), call(P, {double, 21}) end},
    {"call, ends", fun(N) -> P = new(N, false), call(P, {stop, over}) end},
    {"call, ends normally", fun(N) -> P = new(N, false), call(P, {stop, normal}) end},
    {"call, takes too long", fun(N) -> P = new(N, false), call(P, never, 50) end},
    {"call, lost", fun(N) -> P = new(N, false), Me = self(), spawn_link(fun() -> timer:sleep(50), lose(N), unlink(Me) end), call(P, never), heard() end},
    {"send, to nobody", fun(N) -> {nobody, N} ! hello, heard() end},
    {"send, then end", fun(N) -> P = new(N, false), monitor(process, P), P ! {say, 1, 5}, P ! {stop, over}, heard() end},
    {"send, then end, linked", fun(N) -> P = new(N, false), link(P), P ! {say, 1, 3}, P ! {stop, over}, heard() end},
    {"nodes", fun(N) -> lose(N), net_kernel:monitor_nodes(true), true = net_kernel:connect_node(N), P = new(N, false), P ! {say, 1, 3}, timer:sleep(50), lose(N), heard(), net_kernel:monitor_nodes(false) end},
    {"nodes, another start", fun(N) -> net_kernel:monitor_nodes(true), P = new(N, false), monitor(process, P), again(), heard(), net_kernel:monitor_nodes(false) end},
    {"groups", fun(N) -> P = new(N, false), members(), tell(P, {join, g}), members(), tell(P, {leave, g}), members(), tell(P, {join, g}), P ! {stop, over}, members() end},
    {"groups, lost", fun(N) -> P = new(N, false), tell(P, {join, g}), members(), lose(N), members(), true = net_kernel:connect_node(N), members() end},
    {"groups, those of this node", fun(N) -> H = new(node(), false), tell(H, {join, g}), P = new(N, false), tell(P, {join, g}), members(), lose(N), members(), H ! {stop, normal}, members() end}
].
