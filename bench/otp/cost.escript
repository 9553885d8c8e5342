#!/usr/bin/env escript
%% -*- erlang -*-
%%! +S 1 +P 400000 -kernel logger_level none
%% Erlang's figures for `supervision/examples/cost.rs`: the same lines, `name value unit`.
-module(cost).
-mode(compile).
-export([main/1, init/1, start/0, handle_call/3, handle_cast/2, terminate/2, lean_loop/1]).

main(_) ->
    process_flag(trap_exit, true),
    idle(), Server = messages(), fans(Server), crashes().

%% CPU time of the emulator in ns.
cpu() -> {T, _} = erlang:statistics(runtime), T * 1000000.

report(Name, Value, Unit) -> io:format("~s ~b ~s~n", [Name, round(Value), Unit]).

init({sup, Strategy, Child}) ->
    {ok, {#{strategy => Strategy, intensity => 1000000, period => 1}, [#{id => w, start => Child, shutdown => 5000, restart => case Strategy of simple_one_for_one -> temporary; _ -> permanent end}]}};
init(worker) -> {ok, 0}.

start() -> gen_server:start_link({local, serving}, ?MODULE, worker, []).

handle_call(ask, _, N) -> {reply, N, N}.
handle_cast(boom, _) -> error(boom);
handle_cast({note, N}, S) -> {noreply, (S + N) band 16#ffffffff}.
terminate(_, _) -> ok.

lean_loop(S) -> receive {note, N} -> ?MODULE:lean_loop((S + N) band 16#ffffffff) end.

idle() ->
    {ok, Sup} = supervisor:start_link(?MODULE, {sup, simple_one_for_one, {gen_server, start_link, [?MODULE, worker, []]}}),
    N = 100000,
    Before = erlang:memory(processes), C = cpu(),
    [{ok, _} = supervisor:start_child(Sup, []) || _ <- lists:seq(1, N)],
    report("spawn", (cpu() - C) / N, "ns"),
    report("idle", (erlang:memory(processes) - Before) / N, "bytes"),
    C2 = cpu(), exit(Sup, shutdown), receive {'EXIT', Sup, _} -> ok end,
    report("stop", (cpu() - C2) / N, "ns").

messages() ->
    {ok, P} = gen_server:start_link(?MODULE, worker, []),
    N = 500000,
    C = cpu(), [begin gen_server:cast(P, {note, I}), erlang:yield() end || I <- lists:seq(1, N)], gen_server:call(P, ask),
    report("cast_empty_server", (cpu() - C) / N, "ns"),
    C1 = cpu(), [begin [gen_server:cast(P, {note, I}) || I <- lists:seq(1, 1000)], gen_server:call(P, ask) end || _ <- lists:seq(1, N div 1000)],
    report("cast_full_server", (cpu() - C1) / N, "ns"),
    C2 = cpu(), [gen_server:call(P, ask) || _ <- lists:seq(1, N)],
    report("call_server", (cpu() - C2) / N, "ns"),
    L = spawn_link(?MODULE, lean_loop, [0]),
    C3 = cpu(), [begin L ! {note, I}, erlang:yield() end || I <- lists:seq(1, N)],
    report("cast_empty_lean", (cpu() - C3) / N, "ns"),
    P.

fans(_) ->
    Sink = spawn_link(?MODULE, lean_loop, [0]), Self = self(), C = cpu(),
    Senders = [spawn_link(fun() -> [Sink ! {note, I} || I <- lists:seq(1, 1000)], Self ! done end) || _ <- lists:seq(1, 1000)],
    [receive done -> ok end || _ <- Senders], drained(Sink),
    report("fan_in_1000", (cpu() - C) / 1000000, "ns"),
    Out = [spawn_link(?MODULE, lean_loop, [0]) || _ <- lists:seq(1, 1000)], C1 = cpu(),
    [[P ! {note, I} || P <- Out] || I <- lists:seq(1, 1000)], [drained(P) || P <- Out],
    report("fan_out_1000", (cpu() - C1) / 1000000, "ns").

drained(P) ->
    case process_info(P, message_queue_len) of {_, 0} -> ok; _ -> erlang:yield(), drained(P) end.

crashes() ->
    {ok, Sup} = supervisor:start_link(?MODULE, {sup, one_for_one, {?MODULE, start, []}}),
    N = 2000, C = cpu(), T = erlang:monotonic_time(nanosecond),
    Took = lists:sort([crash() || _ <- lists:seq(1, N)]),
    report("restart_p50", lists:nth(N div 2, Took), "ns"),
    report("restart_cpu", (cpu() - C) / N, "ns"),
    report("restarts", N * 1000000000 / (erlang:monotonic_time(nanosecond) - T), "/s"),
    exit(Sup, shutdown).

crash() ->
    Old = whereis(serving), T = erlang:monotonic_time(nanosecond), gen_server:cast(Old, boom), again(Old),
    erlang:monotonic_time(nanosecond) - T.

again(Old) -> case whereis(serving) of P when is_pid(P), P =/= Old -> ok; _ -> erlang:yield(), again(Old) end.
