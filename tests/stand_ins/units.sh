#!/bin/bash
# Plays systemctl: a unit is a folder of its name in $STAND_IN with the scripts `start` and `stop`, of which either may be absent. The
# file `oneshot` in it says that it ends by itself, `active` that it runs.
echo "$*" >>"$STAND_IN/asked"
verb=$1 code=0
shift
properties=() units=()
for word; do
    case $word in
        --property=*) properties+=("${word#--property=}") ;;
        -*) ;;
        *.service | *.socket | *.timer) units+=("$word") ;;
        *) units+=("$word.service") ;;
    esac
done
for unit in "${units[@]}"; do
    folder=$STAND_IN/$unit
    if [[ $verb == show ]]; then
        [[ -d $folder ]] && load=loaded || load=not-found
        [[ -e $folder/active ]] && active=active || active=inactive
        for property in "${properties[@]}"; do
            case $property in
                LoadState) echo "LoadState=$load" ;;
                ActiveState) echo "ActiveState=$active" ;;
            esac
        done
        continue
    fi
    [[ -d $folder ]] || { echo "Failed to $verb $unit: Unit $unit not loaded." >&2; exit 5; }
    case $verb in
        start)
            [[ -e $folder/active ]] && continue
            [[ -e $folder/oneshot ]] || touch "$folder/active"
            if [[ -e $folder/start ]] && ! bash -euo pipefail "$folder/start" >"$folder/log" 2>&1 </dev/null; then
                rm -f "$folder/active"
                echo "Job for $unit failed because the control process exited with error code." >&2
                cat "$folder/log" >>"$STAND_IN/log"
                code=1
            fi
            ;;
        stop)
            [[ ! -e $folder/active || ! -e $folder/stop ]] || bash -euo pipefail "$folder/stop" >>"$folder/log" 2>&1 </dev/null
            rm -f "$folder/active"
            ;;
        is-active)
            if [[ -e $folder/active ]]; then echo active; else
                echo inactive
                code=3
            fi
            ;;
        *) echo "the stand-in for systemctl does not know $verb" >&2; exit 1 ;;
    esac
done
exit $code
