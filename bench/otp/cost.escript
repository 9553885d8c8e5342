#!/usr/bin/env escript
%% -*- erlang -*-
%%! +S 1 +P 400000 -kernel logger_level none
%% Erlang's figures for `supervision/examples/cost`: the same lines, `name value unit`. The argument says
%% what is measured: `process`, a loop that receives, or `gen_server`.
-module(cost).
-mode(compile).
-export([main/1, init/1, start/0, start_lean/0, handle_call/3, handle_cast/2, terminate/2, lean_loop/1]).

main([Arg]) ->
    process_flag(trap_exit, true),
    Kind = list_to_atom(Arg),
    idle(Kind), messages(Kind), fans(Kind),
    Kind =:= gen_server andalso crashes().

%% CPU time of the emulator in ns.
cpu() -> {T, _} = erlang:statistics(runtime), T * 1000000.

report(Name, Value, Unit) -> io:format("~s ~b ~s~n", [Name, round(Value), Unit]).

init({sup, Strategy, Child}) ->
    {ok, {#{strategy => Strategy, intensity => 1000000, period => 1}, [#{id => w, start => Child, shutdown => 5000, restart => case Strategy of simple_one_for_one -> temporary; _ -> permanent end}]}};
init(worker) -> {ok, 0}.

start() -> gen_server:start_link({local, serving}, ?MODULE, worker, []).
start_lean() -> {ok, spawn_link(?MODULE, lean_loop, [0])}.

handle_call(ask, _, N) -> {reply, N, N}.
handle_cast(boom, _) -> error(boom);
handle_cast({note, N}, S) -> {noreply, (S + N) band 16#ffffffff}.
terminate(_, _) -> ok.

lean_loop(S) ->
    receive
        {note, N} -> ?MODULE:lean_loop((S + N) band 16#ffffffff);
        {ask, Ref, From} -> From ! {Ref, S}, ?MODULE:lean_loop(S)
    end.

child(process) -> {?MODULE, start_lean, []};
child(gen_server) -> {gen_server, start_link, [?MODULE, worker, []]}.

one(Kind) -> {M, F, A} = child(Kind), {ok, P} = apply(M, F, A), P.

cast(process, P, N) -> P ! {note, N};
cast(gen_server, P, N) -> gen_server:cast(P, {note, N}).

call(process, P) -> Ref = monitor(process, P), P ! {ask, Ref, self()}, receive {Ref, S} -> demonitor(Ref, [flush]), S after 5000 -> exit(timeout) end;
call(gen_server, P) -> gen_server:call(P, ask).

idle(Kind) ->
    N = 100000,
    [begin
        {ok, Sup} = supervisor:start_link(?MODULE, {sup, simple_one_for_one, child(Kind)}),
        Before = erlang:memory(processes), C = cpu(),
        [{ok, _} = supervisor:start_child(Sup, []) || _ <- lists:seq(1, N)],
        Round =:= 2 andalso report("spawn", (cpu() - C) / N, "ns"),
        Round =:= 1 andalso report("idle", (erlang:memory(processes) - Before) / N, "bytes"),
        C2 = cpu(), exit(Sup, shutdown), receive {'EXIT', Sup, _} -> ok end,
        Round =:= 2 andalso report("stop", (cpu() - C2) / N, "ns")
    end || Round <- [1, 2]].

messages(Kind) ->
    P = one(Kind), N = 500000,
    C = cpu(), [begin cast(Kind, P, I), erlang:yield() end || I <- lists:seq(1, N)], call(Kind, P),
    report("cast_empty", (cpu() - C) / N, "ns"),
    C1 = cpu(), [begin [cast(Kind, P, I) || I <- lists:seq(1, 1000)], call(Kind, P) end || _ <- lists:seq(1, N div 1000)],
    report("cast_full", (cpu() - C1) / N, "ns"),
    C2 = cpu(), [call(Kind, P) || _ <- lists:seq(1, N)],
    report("call", (cpu() - C2) / N, "ns").

%% One message each time it is its turn, or as fast as it can.
send(Kind, Sink, Flood) ->
    [begin cast(Kind, Sink, I), Flood orelse erlang:yield() end || I <- lists:seq(1, 1000)].

fans(Kind) ->
    Self = self(), Sink = one(Kind),
    [begin
        erlang:garbage_collect(Sink), Before = erlang:memory(total), C = cpu(),
        Senders = [spawn_link(fun() -> send(Kind, Sink, Flood), Self ! done end) || _ <- lists:seq(1, 1000)],
        [receive done -> ok end || _ <- Senders], Memory = erlang:memory(total), drained(Sink),
        report(Name, (cpu() - C) / 1000000, "ns"),
        Flood andalso report("flood_memory", max(0, Memory - Before) / 1024, "KiB")
    end || {Name, Flood} <- [{"fan_in", false}, {"fan_in_flood", true}]],
    Out = [one(Kind) || _ <- lists:seq(1, 1000)], C1 = cpu(),
    [begin [cast(Kind, P, I) || P <- Out], erlang:yield() end || I <- lists:seq(1, 1000)], [drained(P) || P <- Out],
    report("fan_out", (cpu() - C1) / 1000000, "ns").

drained(P) ->
    case process_info(P, message_queue_len) of {_, 0} -> ok; _ -> erlang:yield(), drained(P) end.

crashes() ->
    {ok, Sup} = supervisor:start_link(?MODULE, {sup, one_for_one, {?MODULE, start, []}}),
    N = 20000, C = cpu(), T = erlang:monotonic_time(nanosecond),
    Took = lists:sort([crash() || _ <- lists:seq(1, N)]),
    report("restart_storm", lists:nth(N div 2, Took), "ns"),
    report("restart_cpu", (cpu() - C) / N, "ns"),
    report("restarts", N * 1000000000 / (erlang:monotonic_time(nanosecond) - T), "/s"),
    exit(Sup, shutdown).

crash() ->
    Old = whereis(serving), T = erlang:monotonic_time(nanosecond), gen_server:cast(Old, boom), again(Old),
    erlang:monotonic_time(nanosecond) - T.

again(Old) -> case whereis(serving) of P when is_pid(P), P =/= Old -> ok; _ -> erlang:yield(), again(Old) end.
