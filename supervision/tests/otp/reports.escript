#!/usr/bin/env escript
%% What OTP's supervisor reports of children that do not stop as they are told: a line for each report,
%% REASON NAME COUNT, below a line for each stop. reports.expected.txt is its output (OTP 25).
%%! -kernel logger_level error
-mode(compile).
-export([init/1, start/1, log/2]).

kinds() -> [prompt, hang, normal, oops, other, bye, kill].
many() -> kinds() ++ [hang, hang, oops, oops, normal, prompt].

init({simple_one_for_one, Rules}) ->
    {ok, {#{strategy => simple_one_for_one}, [Rules#{id => t, start => {?MODULE, start, []}}]}};
init({Strategy, Rules}) ->
    Child = fun(Kind) -> Rules#{id => Kind, start => {?MODULE, start, [Kind]}} end,
    {ok, {#{strategy => Strategy}, lists:map(Child, kinds())}}.

start(Kind) ->
    Me = self(),
    Pid = proc_lib:spawn_link(fun() ->
        process_flag(trap_exit, Kind =/= prompt),
        Me ! {ready, self()},
        receive {'EXIT', _, shutdown} -> stopped(Kind) end
    end),
    receive {ready, Pid} -> {ok, Pid} end.

stopped(hang) -> timer:sleep(infinity);
stopped(kill) -> exit(self(), kill), timer:sleep(infinity);
stopped(bye) -> exit({shutdown, bye});
stopped(Reason) -> exit(Reason).

%% called in the supervisor
log(#{msg := {report, #{label := {supervisor, shutdown_error}, report := Report}}}, _) ->
    Offender = proplists:get_value(offender, Report),
    Count = proplists:get_value(nb_children, Offender, 1),
    io:format("~s ~s ~b~n", [said(proplists:get_value(reason, Report)), proplists:get_value(id, Offender), Count]);
log(_, _) -> ok.

said({shutdown, Why}) -> io_lib:format("{shutdown, ~s}", [Why]);
said(Reason) -> atom_to_list(Reason).

run(How, Strategy, Shutdown, Restart) ->
    io:format("~s ~s ~w ~s~n", [How, Strategy, Shutdown, Restart]),
    {ok, Supervisor} = supervisor:start_link(?MODULE, {Strategy, #{shutdown => Shutdown, restart => Restart}}),
    [{ok, _} = supervisor:start_child(Supervisor, [Kind]) || Strategy =:= simple_one_for_one, Kind <- many()],
    [ok = supervisor:terminate_child(Supervisor, Kind) || How =:= terminate, Kind <- kinds()],
    exit(Supervisor, shutdown),
    receive {'EXIT', Supervisor, shutdown} -> ok end.

main(_) ->
    process_flag(trap_exit, true),
    ok = logger:remove_handler(default),
    ok = logger:add_handler(reports, ?MODULE, #{}),
    Restarts = [permanent, transient, temporary],
    [run(stop, S, D, R) || S <- [simple_one_for_one, one_for_one], D <- [300, brutal_kill], R <- Restarts],
    [run(terminate, one_for_one, 300, R) || R <- Restarts],
    ok.
